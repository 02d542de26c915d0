"""What asking costs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Prices"]


@dataclass(frozen=True)
class Prices:
    """What a provider charges per million tokens, in any one currency.

    Attributes
    ----------
    input, output : float
    cached : float or None
        For the part of the input that came from its cache; None: as the rest of the input.
    """

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None

    def cost(self, prompt_tokens: float, completion_tokens: float, cached_tokens: float) -> float:
        """Price of some tokens, the cached ones being among the prompt's.

        Examples
        --------
        >>> Prices(input=1.0, output=2.0, cached=0.5).cost(1_000_000, 500_000, 400_000)
        1.8
        """
        cached = self.input if self.cached is None else self.cached
        fresh = prompt_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * cached + completion_tokens * self.output) / 1e6
