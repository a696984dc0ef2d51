"""Router.stream: who is asked, in what order, and what happens when they do not answer.

One reply goes through three steps, and may go round: a *race* for the first useful chunk,
*speaking* what the winner says, and, when it breaks off, a race for who goes on. All waiting is
in `Mailbox.get`; everything decided is decided by plain functions of the time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing

from llm_router.clock import Clock
from llm_router.errors import ReplyFailedError
from llm_router.failures import Failure, FailureClass, failure_before_a_word
from llm_router.options import RouterOptions
from llm_router.routing.budget import Budget
from llm_router.routing.draining import Draining
from llm_router.routing.endpoint import Attempt, Endpoint, Mailbox, Role
from llm_router.routing.events import Observer, ReplyEvent
from llm_router.routing.hedge import (
    GiveUp,
    Race,
    Start,
    patience,
    usual_pause,
    wait_for_another,
    winning,
)
from llm_router.routing.latency import size_class
from llm_router.routing.ledger import Ledger
from llm_router.routing.phrases import Phrases
from llm_router.routing.pool import Pool, may_follow, prompt_characters
from llm_router.routing.resume import Seam, resume_request
from llm_router.routing.speech import SpeechClock, ends_sentence
from llm_router.types import ChatRequest, Chunk


class Router:
    """Answers chat requests through whichever endpoint can, and keeps what it learns about them.

    Made by `llm_router.open_router`, which also closes it.
    """

    def __init__(
        self,
        pool: Pool,
        options: RouterOptions,
        *,
        clock: Clock,
        phrases: Phrases | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.pool, self.options, self.clock = pool, options, clock
        self.phrases = phrases or Phrases()
        self.budget = Budget(options.hedge_budget)
        self.observers = tuple(observers)
        self.apologies = 0
        self.settling = Draining(clock)

    def stream(self, request: ChatRequest, observers: Sequence[Observer] = ()) -> "Reply":
        """One reply, to be read with `async for`; `observers` are told of this one alone.

        With `request.speech` it raises nothing for what a provider did: when all fail, a phrase is
        said. Otherwise ReplyFailedError says why each connection did not answer. Closing the reply,
        or cancelling the task that reads it, closes every stream behind it; a loop that may be left
        early belongs into `contextlib.aclosing(reply)`.
        """
        return Reply(self, request, observers)

    async def warm(self) -> None:
        """Open what the first calls would wait for, at every endpoint side by side."""
        await asyncio.gather(*(endpoint.provider.warm() for endpoint in self.pool.endpoints))

    def saturation(self) -> float:
        """How little room the models have for another call: see `Pool.saturation`."""
        return self.pool.saturation(self.clock.now())

    async def aclose(self) -> None:
        """See to their end the attempts that lost or were cancelled; the providers stay open."""
        await self.settling.aclose()

    def __repr__(self) -> str:
        return f"Router({self.budget!r})\n{self.pool!r}"


_UNFINISHED = Failure(FailureClass.BROKEN_STREAM, "ended without a finish reason")
_USAGE_AFTER_END = 0.2
"""Seconds to wait for the token counts that some servers send after the last word."""


class Reply:
    """One reply under way. `event` tells what came of it so far, and is complete at its end."""

    def __init__(self, router: Router, request: ChatRequest, observers: Sequence[Observer]) -> None:
        self._router, self._request = router, request
        self._options, self._clock = router.options, router.clock
        characters = prompt_characters(request)
        self._ledger = Ledger(
            request,
            router.clock,
            [*router.observers, *observers],
            prompt_characters=characters,
            deadline=self._deadline(),
        )
        self._mailbox = Mailbox(self._clock)
        self._size = size_class(characters)
        self._reasons: Iterable[tuple[str, str]] = ()
        self._lead: float | None = None
        self._look_at = 0.0
        self._speech = SpeechClock(request.language)
        self._gave_tool_calls = False
        self._chunks = self._run()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()

    @property
    def event(self) -> ReplyEvent:
        return self._ledger.event

    # ── The life of one reply ────────────────────────────────────────────────────────────────────

    async def _run(self) -> AsyncGenerator[Chunk, None]:
        total = self._request.total_deadline or self._options.total
        self._ends_at = self._ledger.started_at + total
        self._router.budget.deposit()
        try:
            while won := await self._race():
                async with aclosing(self._speak(*won)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if self._ledger.is_finished:
                    return
                if self._ledger.resumes == self._options.max_resumes or self._is_out_of_time:
                    break
                self._ledger.resumes += 1
            yield self._last_words()
        finally:
            self._close()

    async def _race(self) -> tuple[Attempt, Chunk] | None:
        """Start endpoints, one after another or side by side, until one has a useful chunk.

        None: there is nobody left who could have one in time.
        """
        ready, trials = self._who_may_be_asked()
        race = Race(
            ready,
            self._router.budget.withdraw,
            most=self._options.max_attempts,
            give_up_at=min(self._clock.now() + self._deadline(), self._ends_at),
        )
        while True:
            step = race.next_step(self._clock.now())
            if isinstance(step, GiveUp):
                self._give_up()
                return None
            if isinstance(step, Start):
                race.started(self._start(step.endpoint, self._role(step)))
                for trial in self._start_trials(trials):
                    race.started(trial)
                trials = []
                continue
            if (event := await self._mailbox.get(step.until)) is None:
                continue
            attempt, what = event
            if attempt not in self._ledger.running:
                continue  # a late word of one that was given up on
            if chunk := winning(what, self._ledger.given):
                self._prepare_to_move_on(attempt, race.queue)
                return attempt, chunk
            if failure := failure_before_a_word(what):
                race.ended(attempt)
                self._fail(attempt, failure)
                race.queue = [e for e in race.queue if self._may_ask(e)]
                if all(e.provider.last_resort for e in race.queue):
                    # Nobody well is left: those that rest are asked before the reply is given up.
                    race.queue, _ = self._who_may_be_asked()

    async def _speak(self, winner: Attempt, chunk: Chunk) -> AsyncGenerator[Chunk, None]:
        """Give out what the winner says, until it has finished or broken off."""
        self._win(winner)
        seam = Seam(self._ledger.given, winner.endpoint.provider.continuation)
        said_before, name = len(self._ledger.given), winner.name
        while True:
            is_whole = bool(chunk.finish_reason or chunk.tool_calls)
            text = seam.feed(chunk.text) + (seam.flush() if is_whole else "")
            self._give(text, chunk, winner)
            if chunk.finish_reason and self._is_cut_short(said_before):
                self._fail(winner, Failure(FailureClass.EMPTY, "nothing more came"))
                return
            self._ledger.is_finished = chunk.finish_reason is not None
            yield chunk.given_out(text, name)
            if self._ledger.is_finished:
                break
            event = await self._next_of(winner)
            if isinstance(event, Chunk):
                chunk = event
                continue
            if self._gave_tool_calls:
                # All that was asked for is out: what the server does after that harms nobody.
                self._ledger.is_finished = True
                yield Chunk(finish_reason="tool_calls", connection=name)
            elif event is None and self._is_out_of_time:
                self._stop(winner, "cancelled")  # it spoke on; the time was ours
            else:
                self._fail(winner, event or self._silence())
            return
        self._look_at, self._ends_at = 0.0, self._clock.now() + _USAGE_AFTER_END
        while isinstance(event := await self._next_of(winner), Chunk):
            if event.usage:
                yield Chunk(usage=event.usage, connection=name)

    # ── Attempts ─────────────────────────────────────────────────────────────────────────────────

    def _who_may_be_asked(self) -> tuple[list[Endpoint], Sequence[Endpoint]]:
        """Best first, and whose trial may run beside; none that failed or is being asked."""
        asked = {*self._ledger.failures, *(attempt.endpoint for attempt in self._ledger.running)}
        plan = self._router.pool.plan(self._request, self._clock.now(), without=asked)
        self._reasons = plan.reasons
        if not self._ledger.failures and not self._ledger.given:
            return plan.ready, plan.trials  # nothing yet that could rule one of them out
        ready = [e for e in plan.ready if self._may_ask(e)]
        return ready, () if self._ledger.given else plan.trials

    def _may_ask(self, endpoint: Endpoint) -> bool:
        """Nobody is asked again after a failure, and none that the failures of others rule out."""
        if self._ledger.given and endpoint.provider.last_resort:
            return False
        may_move = self._options.move_on_refused_content
        return not any(
            endpoint is failed
            or (failure.kind is FailureClass.REFUSED_CONTENT and not may_move)
            or not may_follow(endpoint, failed, failure)
            for failed, failure in self._ledger.failures.items()
        )

    def _role(self, step: Start) -> Role:
        if not self._ledger.attempts:
            return "first"
        return "resume" if self._ledger.given and step.why == "failover" else step.why

    def _start(self, endpoint: Endpoint, role: Role) -> Attempt:
        request = self._request
        if self._ledger.given:
            request = resume_request(request, self._ledger.given, endpoint.provider.continuation)
        waits = patience(
            endpoint.latency.first_word(self._size), self._clock.now(), self._options.patience
        )
        attempt = Attempt(
            endpoint,
            request,
            role=role,
            size=self._size,
            hedge_after=waits.hedge_after,
            silent_after=waits.silent_after,
            mailbox=self._mailbox,
            clock=self._clock,
        )
        self._ledger.started(attempt)
        return attempt

    def _start_trials(self, endpoints: Sequence[Endpoint]) -> list[Attempt]:
        """Rested endpoints, beside the first: their cost is bounded by how seldom they rest."""
        now = self._clock.now()
        return [self._start(e, "trial") for e in endpoints if e.breaker.take_trial(now)]

    def _win(self, winner: Attempt) -> None:
        self._look_at = 0.0
        self._speech.taken_over(self._clock.now())
        self._ledger.won(winner)
        self._router.pool.answered(self._request.session_id, winner.endpoint)
        for attempt in [a for a in self._ledger.running if a is not winner]:
            if attempt.role == "trial":
                self._router.settling.watch(attempt)
                self._ledger.ended(attempt, "lost")
            elif attempt.is_late:
                self._fail(attempt, attempt.silence)
            else:
                is_slower = attempt.started_at < winner.started_at
                if is_slower and not winner.endpoint.provider.last_resort:
                    attempt.overtaken()
                self._stop(attempt, "lost")

    def _stop(self, attempt: Attempt, outcome: str) -> None:
        attempt.cut()
        attempt.cancel()
        self._router.settling.add(attempt)
        self._ledger.ended(attempt, outcome)

    def _fail(self, attempt: Attempt, failure: Failure) -> None:
        attempt.failed(failure)
        attempt.cancel()
        self._router.settling.add(attempt)
        self._ledger.failures[attempt.endpoint] = failure
        self._ledger.ended(attempt, str(failure.kind), failure)

    def _give_up(self) -> None:
        for attempt in list(self._ledger.running):
            if attempt.is_late:
                self._fail(attempt, attempt.silence)
            else:  # it had less time than it is due
                self._stop(attempt, "cancelled")
                self._ledger.failures[attempt.endpoint] = attempt.silence

    def _close(self) -> None:
        """The end, however it came. Awaits nothing, so that a barge-in is not held up."""
        for attempt in list(self._ledger.running):
            if attempt is self._ledger.winner and self._ledger.is_finished:
                attempt.finished()
                attempt.cancel()
                self._router.settling.add(attempt)
                self._ledger.ended(attempt, "won")
            else:
                self._stop(attempt, "cancelled")
        self._mailbox.close()
        self._ledger.close()

    # ── Waiting while somebody speaks ────────────────────────────────────────────────────────────

    async def _next_of(self, winner: Attempt) -> Chunk | Failure | None:
        """Its next chunk or failure; None: the time has come.

        When that is, is worked out when the timer rings and when a clause is whole, not for every
        chunk: all other words put it off.
        """
        while True:
            event = await self._mailbox.get(self._look_at)
            if event is None:
                self._look_at = self._patience_ends(winner)
                if self._clock.now() >= self._look_at:
                    return None
                continue
            attempt, what = event
            if attempt is winner:
                return what or _UNFINISHED

    def _patience_ends(self, winner: Attempt) -> float:
        if self._ledger.is_finished:
            return self._ends_at
        options, last_chunk = self._options, winner.useful_at
        ends_at = min(self._ends_at, winner.started_at + winner.endpoint.connection.timeout)
        if not self._request.speech:
            return min(last_chunk + options.stall, ends_at)
        due = self._speech.more_due(
            first_word=winner.first_word_at or last_chunk,
            last_chunk=last_chunk,
            lead=self._lead,
            usual_pause=usual_pause(winner.endpoint.latency.pauses, self._clock.now(), options),
            options=options,
        )
        return min(due, ends_at)

    def _silence(self) -> Failure:
        if self._request.speech and self._speech.silent_from is None:
            return Failure(FailureClass.DRIPPING, "no whole clause in time")
        return Failure(FailureClass.STALLED, "stopped in the middle")

    def _give(self, text: str, chunk: Chunk, winner: Attempt) -> None:
        self._gave_tool_calls = self._gave_tool_calls or bool(chunk.tool_calls)
        if text:
            if self._speech.heard(text, winner.useful_at):
                self._look_at = 0.0
            can_start = self._speech.silent_from is not None or chunk.finish_reason is not None
            self._ledger.gave(text, is_clause=can_start)

    def _prepare_to_move_on(self, winner: Attempt, queue: Sequence[Endpoint]) -> None:
        """Over to the next that was not asked, else to one that was asked and is not late."""
        asked = [a.endpoint for a in self._ledger.running if a is not winner and not a.is_late]
        # Nobody, when moving on again would be the end of the reply.
        spares = [*queue, *asked] if self._ledger.resumes < self._options.max_resumes else []
        now, options = self._clock.now(), self._options.patience
        self._lead = wait_for_another(spares, self._size, now, options)

    def _deadline(self) -> float:
        options, wanted = self._options, self._request.first_word_deadline
        usual = options.first_word_deadline if self._request.speech else options.text_deadline
        return usual if wanted is None else wanted

    @property
    def _is_out_of_time(self) -> bool:
        return self._clock.now() >= self._ends_at

    # ── The end ──────────────────────────────────────────────────────────────────────────────────

    def _is_cut_short(self, said_before: int) -> bool:
        """A continuation that adds nothing is an end only where the sentence was at its end."""
        added = self._ledger.given[said_before:].strip() or self._gave_tool_calls
        return bool(said_before) and not added and not ends_sentence(self._ledger.given)

    def _last_words(self) -> Chunk:
        """What is said when nobody is left. Raises ReplyFailedError for readers without a word."""
        phrases, language = self._router.phrases, self._request.language
        self._ledger.nobody_left(self._reasons)
        if self._ledger.given:
            text = phrases.closing(self._ledger.given, language)
        elif self._request.speech:
            text = phrases.pick("sorry", language, self._router.apologies)
            self._router.apologies += 1
        else:
            failures = [(e.name, str(failure)) for e, failure in self._ledger.failures.items()]
            raise ReplyFailedError([*failures, *self._ledger.unasked])
        self._ledger.phrased(text)
        return Chunk(text=text, finish_reason="stop")
