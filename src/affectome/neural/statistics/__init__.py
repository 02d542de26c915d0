"""Is it more than chance, in a person and in a group: permutation, corrections, ceilings, prevalence."""

__all__: list[str] = []
