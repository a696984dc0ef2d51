"""CircuitBreaker, after Nygard (Release It!) with the generations of sony/gobreaker."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llm_router.failures import Failure
from llm_router.options import BreakerOptions

State = Literal["closed", "open", "half-open"]
FOREVER = float("inf")
_MAX_DOUBLINGS = 30
"""More than any longest rest needs; an endpoint that is down for days must not overflow a float."""


@dataclass(frozen=True, slots=True)
class BreakerRecord:
    """The state of one breaker, as processes share it for the same connection."""

    is_open: bool = False
    open_until: float = 0.0
    """Infinity: until the connection is changed."""
    openings: int = 0
    """Without a success between them."""
    reason: str = ""


class CircuitBreaker:
    """Decides whether an endpoint may be asked. Time is an argument; nothing here awaits.

    Results of attempts that began before the last change of state are out of date and change
    nothing: each attempt reports with the `generation` that it saw at its start.
    """

    def __init__(self, options: BreakerOptions | None = None) -> None:
        self._options = options or BreakerOptions()
        self._failures_in_a_row = 0
        self._openings = 0
        self._open_until = 0.0
        self._is_open = False
        self._trial_until = 0.0
        self.generation = 0
        self.reason = ""
        self.on_change: Callable[[], None] = lambda: None
        """Called when it opens or closes. Time alone half-opens it, so nothing is called then."""

    def state(self, now: float) -> State:
        if not self._is_open:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def opens_again_at(self) -> float:
        """Returns when an open breaker half-opens; infinity: when the connection is changed."""
        return self._open_until

    def take_trial(self, now: float) -> bool:
        """Returns whether one live request may probe the endpoint now; one probe at a time."""
        if self.state(now) != "half-open" or now < self._trial_until:
            return False
        self._trial_until = now + self._options.rest
        return True

    def succeeded(self, generation: int) -> None:
        if generation != self.generation:
            return
        self._failures_in_a_row = 0
        if self._is_open:
            self._is_open = False
            self._openings = 0
            self.reason = ""
            self.generation += 1
            self.on_change()

    def failed(self, failure: Failure, now: float, generation: int) -> None:
        if generation != self.generation:
            return
        match failure.consequence.breaker:
            case "never":
                return
            case "rests":
                # The server said when to come back; that is no sign of ill health.
                rest = failure.retry_after if failure.retry_after is not None else 1.0
                self._open(now + rest, failure)
            case "opens long":
                self._open(now + self._options.long_rest, failure)
            case "opens until changed":
                self._open(FOREVER, failure)
            case "counts":
                self._failures_in_a_row += 1
                if self._is_open or self._failures_in_a_row >= self._options.failures:
                    doubled = self._options.rest * 2 ** min(self._openings, _MAX_DOUBLINGS)
                    rest = min(doubled, self._options.longest_rest)
                    self._openings += 1
                    self._open(now + max(rest, failure.retry_after or 0.0), failure)
                elif failure.retry_after:
                    self._open(now + failure.retry_after, failure)

    def record(self) -> BreakerRecord:
        if not self._is_open:
            return BreakerRecord()
        return BreakerRecord(True, self._open_until, self._openings, self.reason)

    def adopt(self, found: BreakerRecord) -> None:
        """Takes over the state that another process has found.

        Results of attempts in flight here are out of date from then on.
        """
        self._is_open = found.is_open
        self._open_until = found.open_until
        self._openings = found.openings
        self.reason = found.reason
        self._failures_in_a_row = 0
        self.generation += 1
        self.on_change()

    def _open(self, until: float, failure: Failure) -> None:
        # One that is open until the connection is changed stays so, whatever fails meanwhile.
        if not self._is_open or until > self._open_until:
            self._open_until = until
            self.reason = str(failure.kind)
        self._is_open = True
        self._failures_in_a_row = 0
        self.generation += 1
        self.on_change()

    def __repr__(self) -> str:
        if not self._is_open:
            return f"CircuitBreaker(closed, {self._failures_in_a_row} failed in a row)"
        until = "changed" if self._open_until == FOREVER else f"{self._open_until:.1f} s"
        return f"CircuitBreaker(open until {until}, {self.reason})"
