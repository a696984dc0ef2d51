"""The hedge budget: a token bucket that ordinary requests fill.

After Finagle's RetryBudget: every request deposits a fraction of a token and every hedge withdraws
a whole one, so that hedges stay below that fraction of the traffic, however bad things are.
"""


class Budget:
    """`ratio`: hedges allowed per ordinary request. `reserve`: tokens at the start, which cover the
    first calls of a process before anything is earned; also the most tokens that are saved up.
    """

    def __init__(self, ratio: float = 0.05, reserve: float = 3.0) -> None:
        self.ratio = ratio
        self._cap = reserve
        self._tokens = reserve

    def deposit(self) -> None:
        self._tokens = min(self._cap, self._tokens + self.ratio)

    @property
    def has_token(self) -> bool:
        """True if `withdraw` would pay for a hedge now."""
        # A hair below one, or twenty deposits of 0.05 would not make a token.
        return self._tokens >= 1 - 1e-9

    def withdraw(self) -> bool:
        """Pays for a hedge. Returns whether there was a token; if not, nothing changes."""
        if not self.has_token:
            return False
        self._tokens -= 1
        return True

    def __repr__(self) -> str:
        return f"Budget({self._tokens:.2f} of {self._cap:g}, {self.ratio:.0%} a request)"
