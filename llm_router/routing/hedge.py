"""Decides when to start the next attempt, and when to give up.

Two moments count from the start of an attempt. At `hedge_after` the next one may start if the hedge
budget allows it (a high quantile: Dean and Barroso, "The tail at scale", CACM 2013). At
`silent_after` the next one starts in any case: the endpoint is well past its median, and past its
p90 where its times vary little. An endpoint that reports that it has to load its model first counts
as late at once. A late attempt runs on: the first useful chunk wins, from any attempt.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm_router.failures import is_silent_answer
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.routing.attempt import Attempt
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.latency import Histogram
from llm_router.routing.mailbox import Event
from llm_router.routing.repeats import Repeats
from llm_router.routing.speech import ends_sentence
from llm_router.types import Chunk


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds from the start of an attempt to a hedge, to the moment at which it is late, and to
    the moment at which its own endpoint is asked again, for want of another.
    """

    hedge_after: float
    silent_after: float
    again_after: float


def patience(
    first_word: Histogram, now: float, options: PatienceOptions, *, silent_before: int = 0
) -> Patience:
    """Returns how long to wait for an endpoint with these times to first word.

    `silent_before`: attempts there for the same reply that are late. An endpoint that is not
    measured may just be slow: each further attempt is given twice as long. One that is measured
    lost them: each further attempt is given no more than most of its answers take.

    A spare is asked beside a slow endpoint after `PatienceOptions.longest` at the latest. The same
    endpoint would only get more to do, so it is waited for as long as it usually takes.
    """
    median = first_word.quantile(0.5)
    if median is None or math.isinf(median) or first_word.count(now) < options.samples:
        silent = options.cold_silent * 2**silent_before
        return Patience(options.cold_hedge, silent, silent)
    usual = first_word.quantile(0.9) or 0.0
    late = max(median * options.stretch, usual if usual <= median * options.spread else 0.0)
    silent = min(max(late + options.slack, options.shortest), options.longest)
    # Of the waits that ended: one hang in ten would otherwise put the p95 at infinity, and no hedge
    # would start before the endpoint is late.
    high = first_word.quantile(options.hedge_quantile * first_word.share_ended) or math.inf
    again = max(median * options.stretch, min(high, median * options.spread)) + options.slack
    if silent_before:
        again = min(again, high + options.slack)
        silent = min(silent, again)
    else:
        again = max(again, silent)
    return Patience(min(high + options.slack, silent), silent, again)


def usual_pause(pauses: Histogram, now: float, options: RouterOptions) -> float:
    """Returns the seconds for which a healthy reply of this endpoint may pause; 0: not known yet.

    It is the longest pause allowed where the router gave up on most pauses before their end:
    without waiting once, it would never learn how long they last.
    """
    if pauses.count(now) < options.patience.samples:
        return 0.0
    usual = (pauses.quantile(0.5) or 0.0) * options.patience.stretch + options.patience.slack
    return min(usual, options.longest_stall)


def long_pause(pauses: Histogram, now: float, options: RouterOptions) -> float:
    """Returns the seconds of silence that a healthy reply of this endpoint hardly ever has; as many
    as until the first-word deadline where that is not known.
    """
    median = pauses.quantile(0.5)
    if median is None or pauses.count(now) < options.patience.samples:
        return options.first_word_deadline
    return min(
        median * options.patience.spread + options.patience.slack, options.first_word_deadline
    )


def usual_wait(first_word: Histogram, options: PatienceOptions) -> float:
    """Returns the median seconds to a first word; a long wait where it is unknown or infinite."""
    median = first_word.quantile(0.5)
    return options.cold_silent if median is None or math.isinf(median) else median


def takeover_lead(
    spares: Iterable[Endpoint], size: int, now: float, options: PatienceOptions
) -> float | None:
    """Usual time to first word of the first healthy spare (s), or None where there is no such
    spare.
    """
    for endpoint in spares:
        if _is_well(endpoint, now):
            return usual_wait(endpoint.latency.first_word(size), options)
    return None


def winning(event: Event, given: str, *, may_be_silent: bool = False) -> Chunk | None:
    """Returns the chunk with which an attempt wins its race, or None if the event wins nothing.

    A useful chunk wins. So does the end of an empty reply where that is an answer, and the end of a
    continuation that adds nothing, where the words given out so far are whole sentences.
    """
    if isinstance(event, Chunk) and event.useful:
        return event
    if not given and is_silent_answer(event, may_be_silent=may_be_silent):
        return event._replace(text="") if isinstance(event, Chunk) else Chunk(finish_reason="stop")
    has_ended = event.finish_reason == "stop" if isinstance(event, Chunk) else event is None
    return Chunk(finish_reason="stop") if has_ended and ends_sentence(given) else None


Reason = Literal["hedge", "failover", "retry"]


@dataclass(frozen=True, slots=True)
class Start:
    """Start an attempt on `endpoint`, then report it with `Race.started`.

    A hedge costs one token of the hedge budget.
    """

    endpoint: Endpoint
    reason: Reason


@dataclass(frozen=True, slots=True)
class Late:
    """Call `attempt.late()`: it has passed its time without a useful chunk, or loads its model."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Fail `attempt`, and report that with `Race.ended`: its connection's `timeout` is over."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the next event, until `until` (s, router's clock) at most."""

    until: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the race: no endpoint can answer in time any more."""


Step = Start | Late | TimedOut | Wait | GiveUp

_GRACE = 1.0
"""Seconds for a last resort that is asked at the deadline to say its first word."""


@dataclass(frozen=True, slots=True)
class CallPatience:
    """How a tool call that is being written is waited for: it is progress for a reader of text.

    `stall`: seconds without more of it after which others are asked. `deadline`: seconds without
    more of it after which all are given up, at `ends_at` (s, router's clock) at the latest.
    """

    stall: float
    deadline: float
    ends_at: float


class Race:
    """Decides which endpoints are asked for one first word, and when.

    `next_step` says what to do next. The caller carries the step out, reports what came of it, and
    asks again, until the step is Wait or GiveUp. A race reads no clock, awaits nothing and changes
    nothing but itself.

    `queue` lists the endpoints to ask, best first. At most `max_attempts` attempts are started.
    From `give_up_at` (s, router's clock) on, only a last resort is still asked. `repeats`: the
    endpoints that may be asked again, which happens when no well one is left in the queue.

    `calls`: how a tool call that is being written is waited for; None: like silence.
    """

    def __init__(
        self,
        queue: Sequence[Endpoint],
        *,
        max_attempts: int,
        give_up_at: float,
        calls: CallPatience | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        self._queue = list(queue)
        self._calls = calls
        self._repeats = repeats or Repeats()
        self._attempts_left = max_attempts
        self._give_up_at = give_up_at
        self._running: list[Attempt] = []
        self._hedged: set[Attempt] = set()
        """Attempts for which a hedge was decided, started or not: it is considered once."""
        self._owes_replacement = False
        self._is_in_grace = False

    @property
    def queue(self) -> Sequence[Endpoint]:
        """Endpoints that were not asked so far, best first."""
        return tuple(self._queue)

    @property
    def has_only_last_resorts(self) -> bool:
        """True if every endpoint left in the queue is a last resort, or none is left."""
        return all(endpoint.provider.last_resort for endpoint in self._queue)

    def retain(self, is_eligible: Callable[[Endpoint], bool]) -> None:
        """Drops the endpoints that a failure elsewhere has ruled out."""
        self._queue = [endpoint for endpoint in self._queue if is_eligible(endpoint)]
        self._repeats.retain(is_eligible)

    def requeue(self, queue: Sequence[Endpoint]) -> None:
        """Replaces the endpoints left to ask."""
        self._queue = list(queue)

    def started(self, attempt: Attempt) -> None:
        self._running.append(attempt)
        self._repeats.started(attempt.endpoint)

    def ended(self, attempt: Attempt) -> None:
        """Removes a failed attempt.

        If an older attempt is still waited for, the next endpoint takes the place of this one.
        """
        if attempt not in self._running:
            return
        self._owes_replacement = self._is_spare(attempt)
        self._running.remove(attempt)

    def next_step(self, now: float, *, may_hedge: bool) -> Step:
        """Returns what to do at the time `now`; `may_hedge`: the budget pays for a hedge now."""
        self._drop_unavailable(now)
        self._extend_for_calls()
        if overdue := self._overdue(now):
            return overdue
        on_time = [a for a in self._running if not a.is_late or self._is_calling(a, now)]
        # A trial may win, but nothing waits for it.
        awaited = [attempt for attempt in on_time if attempt.role != "trial"]
        out_of_time = now >= self._give_up_at
        if start := self._replacement(now, awaited, out_of_time=out_of_time):
            return start
        if out_of_time or not (self._running or self._may_repeat_later):
            return GiveUp()
        if self._owes_replacement and (endpoint := self._hedge(now)):
            return self._start(endpoint, "failover")
        for attempt in awaited:
            is_due = now >= attempt.hedge_at and not self._is_calling(attempt, now)
            if is_due and attempt not in self._hedged:
                self._hedged.add(attempt)
                if (endpoint := self._hedge(now)) and may_hedge:
                    return self._start(endpoint, "hedge")
        moments = [
            *(self._next_moment(attempt, now) for attempt in on_time),
            *(attempt.times_out_at for attempt in self._running),
            *(at for at in self._repeats.times if at > now),
        ]
        return Wait(min([self._give_up_at, *moments]))

    def _replacement(
        self, now: float, awaited: Sequence[Attempt], *, out_of_time: bool
    ) -> Start | None:
        """Starts an attempt in the place of those that failed or are late."""
        if not awaited or out_of_time:
            endpoint = self._failover(out_of_time=out_of_time)
            if endpoint and out_of_time:
                self._give_up_at = now + _GRACE
                self._is_in_grace = True
            if endpoint:
                return self._start(endpoint, "failover")
        if not out_of_time and (endpoint := self._repeat(now, awaited)):
            self._repeats.take(endpoint)
            return self._start(endpoint, "retry")
        return None

    def _overdue(self, now: float) -> TimedOut | Late | None:
        """Ends the first running attempt whose time is over, or marks one that has become late."""
        for attempt in self._running:
            if now >= attempt.times_out_at:
                return TimedOut(attempt)
            if attempt.is_late or self._is_calling(attempt, now):
                continue
            if not (attempt.is_loading or now >= attempt.silent_at):
                continue
            if attempt.is_loading:
                self._owes_replacement = self._owes_replacement or self._is_spare(attempt)
            elif attempt.role != "trial":
                self._repeats.add(attempt.endpoint, attempt.again_at)
            return Late(attempt)
        return None

    def _is_spare(self, attempt: Attempt) -> bool:
        """Returns whether it was started beside an older one, so that another may replace it."""
        return attempt is not self._running[0] and attempt.role != "trial"

    def _drop_unavailable(self, now: float) -> None:
        """Drops endpoints that came to a limit, or were removed, while they were in the queue."""
        while self._queue and not self._queue[0].may_start(now):
            del self._queue[0]

    def _extend_for_calls(self) -> None:
        """Counts the time until it gives up from the latest piece of a tool call."""
        pieces = [a.called_at for a in self._running if a.called_at is not None]
        if self._calls and pieces:
            latest = min(max(pieces) + self._calls.deadline, self._calls.ends_at)
            self._give_up_at = max(self._give_up_at, latest)

    def _call_until(self, attempt: Attempt) -> float:
        """Returns the time until which more of the tool call that it writes is waited for."""
        if self._calls is None or attempt.called_at is None:
            return -math.inf
        return attempt.called_at + self._calls.stall

    def _is_calling(self, attempt: Attempt, now: float) -> bool:
        return now < self._call_until(attempt)

    def _next_moment(self, attempt: Attempt, now: float) -> float:
        if self._is_calling(attempt, now):
            return self._call_until(attempt)
        is_decided = attempt in self._hedged or attempt.role == "trial"
        return attempt.silent_at if is_decided else attempt.hedge_at

    def _failover(self, *, out_of_time: bool) -> Endpoint | None:
        """The endpoint to fail over to, or None.

        A last resort is no failover: it waits until no other endpoint can answer in time.
        """
        if not self._queue or (out_of_time and self._is_in_grace):
            return None
        endpoint = self._queue[0]
        is_last = not (self._running or self._may_repeat_later)
        if endpoint.provider.last_resort:
            return endpoint if out_of_time or is_last else None
        if self._attempts_left > 0 and not out_of_time:
            return endpoint
        # Out of attempts, or of time: only a last resort may still be asked.
        resort = next((e for e in self._queue if e.provider.last_resort), None)
        return resort if resort and (out_of_time or is_last) else None

    def _repeat(self, now: float, awaited: Sequence[Attempt]) -> Endpoint | None:
        """The endpoint to ask again now, because no other is well, or None."""
        endpoint = self._repeats.due(now) if self._repeats.times else None
        if endpoint is None or self._attempts_left <= 0:
            return None
        may_answer = any(a.endpoint is endpoint or _is_well(a.endpoint, now) for a in awaited)
        if may_answer and not self._owes_replacement:
            return None
        return None if any(_is_well(spare, now) for spare in self._queue) else endpoint

    @property
    def _may_repeat_later(self) -> bool:
        """True if an endpoint may be asked again before the deadline."""
        return self._attempts_left > 0 and any(at < self._give_up_at for at in self._repeats.times)

    def _hedge(self, now: float) -> Endpoint | None:
        """The endpoint to start beside a running attempt, or None."""
        if not self._queue or self._attempts_left <= 0:
            return None
        endpoint = self._queue[0]
        if endpoint.connection.hedge == "never" or endpoint.provider.last_resort:
            return None
        return endpoint if endpoint.breaker.state(now) == "closed" else None

    def _start(self, endpoint: Endpoint, reason: Reason) -> Start:
        self._owes_replacement = False
        if reason != "retry":
            self._queue.remove(endpoint)
        self._attempts_left -= 1
        return Start(endpoint, reason)


def _is_well(endpoint: Endpoint, now: float) -> bool:
    return endpoint.breaker.state(now) == "closed" and not endpoint.provider.last_resort
