"""When to start the next attempt, and when to give up.

Two moments, both counted from the start of an attempt. At `hedge_after` the next one may start if
the hedge budget allows (a high quantile: Dean and Barroso, "The tail at scale", CACM 2013). At
`silent_after` it starts in any case: the endpoint is late beyond what it has shown before, as it is
at once if it says that it has to load its model first. The late one runs on: whoever has the first
useful chunk wins.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_router.options import PatienceOptions, RouterOptions
from llm_router.routing.endpoint import Attempt, Endpoint, Event
from llm_router.routing.latency import Histogram
from llm_router.routing.speech import ends_sentence
from llm_router.types import Chunk


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


def usual_pause(pauses: Histogram, now: float, options: RouterOptions) -> float:
    """Seconds for which the words of a healthy reply may stop at this endpoint; 0: not known yet.

    The longest allowed where most pauses outlasted us: who is never waited for is never known.
    """
    if pauses.count(now) < options.patience.samples:
        return 0.0
    usual = (pauses.quantile(0.5) or 0.0) * options.patience.stretch + options.patience.slack
    return min(usual, options.longest_stall)


def usual_wait(first_word: Histogram, options: PatienceOptions) -> float:
    """Seconds a first word takes more often than not."""
    median = first_word.quantile(0.5)
    return options.cold_silent if median is None or math.isinf(median) else median


def wait_for_another(
    spares: Iterable[Endpoint], size: int, now: float, options: PatienceOptions
) -> float | None:
    """Seconds that whoever of these would take over usually needs; None: nobody well could."""
    for endpoint in spares:
        if endpoint.breaker.state(now) == "closed" and not endpoint.provider.last_resort:
            return usual_wait(endpoint.latency.first_word(size), options)
    return None


def winning(event: Event, given: str) -> Chunk | None:
    """The chunk with which an attempt wins: a useful one; or, from a continuation that ends at
    once, the end, where the words given out so far are whole sentences.
    """
    if isinstance(event, Chunk) and event.useful:
        return event
    has_ended = event.finish_reason == "stop" if isinstance(event, Chunk) else event is None
    return Chunk(finish_reason="stop") if has_ended and ends_sentence(given) else None


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
        self._is_owed = self._in_grace = False

    def started(self, attempt: Attempt) -> None:
        self._running.append(attempt)

    def ended(self, attempt: Attempt) -> None:
        """It failed. Beside an older one that is still waited for, the next takes its place."""
        if attempt not in self._running:
            return
        self._is_owed = self._is_spare(attempt)
        self._running.remove(attempt)

    def next_step(self, now: float) -> Step:
        self._drop_those_gone(now)
        for attempt in self._running:
            if not attempt.is_late and (attempt.is_loading or now >= attempt.silent_at):
                attempt.late()
                self._is_owed = self._is_owed or (attempt.is_loading and self._is_spare(attempt))
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
        if self._is_owed and (endpoint := self._next_hedge(now)):
            return self._start(endpoint, "failover")
        for attempt in asked:
            if attempt not in self._hedged and now >= attempt.hedge_at:
                self._hedged.add(attempt)
                if (endpoint := self._next_hedge(now)) and self._budget():
                    return self._start(endpoint, "hedge")
        return Wait(min([self._give_up_at, *map(self._next_moment, on_time)]))

    def _is_spare(self, attempt: Attempt) -> bool:
        """Whether it was started beside an older one, so that another may take its place."""
        return attempt is not self._running[0] and attempt.role != "trial"

    def _drop_those_gone(self, now: float) -> None:
        """At a limit, or removed, since they were put in the queue."""
        while self.queue and not self.queue[0].may_start(now):
            del self.queue[0]

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
        self._is_owed = False
        self.queue.remove(endpoint)
        self._left -= 1
        return Start(endpoint, why)
