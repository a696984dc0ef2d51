"""When to start the next attempt, and when to give up.

Two moments, both counted from the start of an attempt. At `hedge_after` the next one may start if
the hedge budget allows (a high quantile: Dean and Barroso, "The tail at scale", CACM 2013). At
`silent_after` it starts in any case: the endpoint is late beyond what it has shown before. The late
one runs on: whoever has the first useful chunk wins.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_router.endpoint import Attempt, Endpoint
from llm_router.latency import Histogram
from llm_router.options import PatienceOptions


@dataclass(frozen=True, slots=True)
class Patience:
    hedge_after: float
    silent_after: float


def patience(first_word: Histogram, now: float, options: PatienceOptions) -> Patience:
    median = first_word.quantile(0.5)
    if median is None or math.isinf(median) or first_word.count(now) < options.samples:
        return Patience(options.cold_hedge, options.cold_silent)
    usual = first_word.quantile(0.9) or 0.0
    late = max(median * options.stretch, usual if usual <= median * options.spread else 0.0)
    silent = min(max(late + options.slack, options.shortest), options.longest)
    # Of the waits that ended: one hang in ten would else put the p95 at for ever, and no hedge
    # would start before the endpoint is late.
    high = first_word.quantile(options.hedge_quantile * first_word.share_ended) or math.inf
    return Patience(min(high + options.slack, silent), silent)


def usual_wait(first_word: Histogram, options: PatienceOptions) -> float:
    """Seconds a first word takes more often than not."""
    median = first_word.quantile(0.5)
    return options.cold_silent if median is None or math.isinf(median) else median


@dataclass(frozen=True, slots=True)
class Start:
    endpoint: Endpoint
    why: Literal["hedge", "failover"]


@dataclass(frozen=True, slots=True)
class Wait:
    until: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


Step = Start | Wait | GiveUp

_GRACE = 1.0
"""Seconds for a last resort, which is asked when the deadline has come, to say its first word."""


class Race:
    """Who is asked for one first word. `next_step` is asked until it says wait or give up.

    `queue` is the order to go by; `budget` answers whether a hedge is paid for; at most
    `most` attempts are started.
    """

    def __init__(
        self, queue: Sequence[Endpoint], budget: Callable[[], bool], *, most: int, give_up_at: float
    ) -> None:
        self.queue = list(queue)
        self._budget, self._left, self._give_up_at = budget, most, give_up_at
        self._running: list[Attempt] = []
        self._hedged: set[Attempt] = set()
        self._in_grace = False

    def started(self, attempt: Attempt) -> None:
        self._running.append(attempt)

    def ended(self, attempt: Attempt) -> None:
        if attempt in self._running:
            self._running.remove(attempt)

    def next_step(self, now: float) -> Step:
        for attempt in self._running:
            if not attempt.is_late and now >= attempt.silent_at:
                attempt.late()
        on_time = [attempt for attempt in self._running if not attempt.is_late]
        # A trial may win, but nothing is put off for it.
        asked = [attempt for attempt in on_time if attempt.role != "trial"]
        out_of_time = now >= self._give_up_at
        if (not asked or out_of_time) and (endpoint := self._next(out_of_time=out_of_time)):
            if out_of_time:
                self._give_up_at, self._in_grace = now + _GRACE, True
            return self._start(endpoint, "failover")
        if out_of_time or not self._running:
            return GiveUp()
        for attempt in asked:
            if attempt not in self._hedged and now >= attempt.hedge_at:
                self._hedged.add(attempt)
                if (endpoint := self._next_hedge(now)) and self._budget():
                    return self._start(endpoint, "hedge")
        return Wait(min([self._give_up_at, *map(self._next_moment, on_time)]))

    def _next_moment(self, attempt: Attempt) -> float:
        decided = attempt in self._hedged or attempt.role == "trial"
        return attempt.silent_at if decided else attempt.hedge_at

    def _next(self, *, out_of_time: bool) -> Endpoint | None:
        """A last resort is no failover: it waits until nobody else can still answer in time."""
        if not self.queue or (out_of_time and self._in_grace):
            return None
        endpoint = self.queue[0]
        if endpoint.provider.last_resort:
            return endpoint if out_of_time or not self._running else None
        if self._left > 0 and not out_of_time:
            return endpoint
        # Out of tries, or of time: only a last resort may still be asked.
        resort = next((e for e in self.queue if e.provider.last_resort), None)
        return resort if resort and (out_of_time or not self._running) else None

    def _next_hedge(self, now: float) -> Endpoint | None:
        if not self.queue or self._left <= 0:
            return None
        endpoint = self.queue[0]
        if endpoint.connection.hedge == "never" or endpoint.provider.last_resort:
            return None
        return endpoint if endpoint.breaker.state(now) == "closed" else None

    def _start(self, endpoint: Endpoint, why: Literal["hedge", "failover"]) -> Start:
        self.queue.remove(endpoint)
        self._left -= 1
        return Start(endpoint, why)
