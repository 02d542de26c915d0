"""Maps of the brain as files that other programs open."""

__all__: list[str] = []
