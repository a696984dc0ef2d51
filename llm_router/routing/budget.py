"""What hedges may cost: a token bucket fed by ordinary requests.

After Finagle's RetryBudget: every request deposits a fraction of a token, every hedge withdraws a
whole one, so that hedges stay below that fraction of the traffic, however bad things are.
"""


class Budget:
    """`ratio`: hedges allowed per ordinary request. `reserve`: tokens to start with, so that the
    first calls of a process are covered before anything was earned; also the most that is kept.
    """

    def __init__(self, ratio: float = 0.05, reserve: float = 3.0) -> None:
        self.ratio, self._cap = ratio, reserve
        self._tokens = reserve

    def deposit(self) -> None:
        self._tokens = min(self._cap, self._tokens + self.ratio)

    def withdraw(self) -> bool:
        """Whether a hedge may be started now; if so, it is paid for."""
        # A hair below one, or twenty deposits of 0.05 would not make a token.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True

    def __repr__(self) -> str:
        return f"Budget({self._tokens:.2f} of {self._cap:g}, {self.ratio:.0%} a request)"
