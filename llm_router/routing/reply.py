"""Reply: an answer in progress. Here awaiting, failing and deciding meet.

A reply takes three steps, and may repeat them: a *race* for the first useful chunk, *speaking* what
the winner says, and, when the winner breaks off, a race for the endpoint that continues. All
waiting is in `Mailbox.get`; every decision is a plain function of the time.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from contextlib import aclosing

from llm_router.errors import ReplyFailedError
from llm_router.failures import Failure, FailureClass, failure_before_a_word
from llm_router.routing.attempt import Attempt, Role
from llm_router.routing.attempts import AttemptGroup
from llm_router.routing.eligibility import may_ask, prompt_characters
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import Observer, ReplyEvent
from llm_router.routing.hedge import (
    CallPatience,
    GiveUp,
    Late,
    Race,
    Start,
    TimedOut,
    takeover_lead,
    usual_wait,
    winning,
)
from llm_router.routing.latency import size_class
from llm_router.routing.ledger import Ledger
from llm_router.routing.length import LengthLimit
from llm_router.routing.mailbox import MORE_OF_A_CALL
from llm_router.routing.repeats import Repeats
from llm_router.routing.resume import Seam, may_end_quietly
from llm_router.routing.speech import ends_sentence
from llm_router.routing.stall import StallDetector
from llm_router.routing.state import RouterState
from llm_router.types import ChatRequest, Chunk

_UNFINISHED = Failure(FailureClass.BROKEN_STREAM, "ended without a finish reason")
_USAGE_AFTER_END = 0.2
"""Seconds to wait for the token counts that some servers send after the last word."""
_CHECK_NOW = 0.0
"""A deadline that has passed: the next wait works out a new one."""


class Reply:
    """A reply, read with `async for`. `event` describes it so far and is complete at its end."""

    def __init__(
        self, router: RouterState, request: ChatRequest, observers: Sequence[Observer]
    ) -> None:
        self._router = router
        self._request = request
        self._options = router.options
        self._clock = router.clock
        characters = prompt_characters(request)
        self._size = size_class(characters)
        self._ledger = Ledger(
            request,
            router.clock,
            [*router.observers, *observers],
            prompt_characters=characters,
            deadline=self._first_word_deadline(),
        )
        self._attempts = AttemptGroup(
            request,
            self._ledger,
            size=self._size,
            options=router.options,
            draining=router.draining,
            clock=router.clock,
        )
        self._mailbox = self._attempts.mailbox
        self._repeats = Repeats()
        self._stall = StallDetector(request, router.options)
        self._length = LengthLimit(request, router.options.limits)
        self._reasons: Iterable[tuple[str, str]] = ()
        self._reduced: Collection[Endpoint] = ()
        self._ends_at = self._ledger.started_at
        self._give_up_at = self._ends_at
        self._given_at = self._ledger.started_at
        self._check_at = _CHECK_NOW
        self._gave_tool_calls = False
        self._chunks = self._run()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()

    @property
    def id(self) -> str:
        return self._ledger.reply_id

    @property
    def event(self) -> ReplyEvent:
        return self._ledger.event

    @property
    def has_more(self) -> bool:
        """Whether the next chunk of the winner is here already, so that no wait precedes it."""
        return not self._ledger.is_finished and self._mailbox.has_chunk_of(self._ledger.winner)

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
                if not won[0].given and self._silent_for >= self._first_word_deadline():
                    break
                self._ledger.resumes += 1
            yield self._last_words()
        finally:
            # Awaits nothing, so that a caller who interrupts is not delayed.
            self._attempts.close()
            self._ledger.close()

    async def _race(self) -> tuple[Attempt, Chunk] | None:
        """Starts attempts, one after another or side by side, until one has a useful chunk.

        Returns that attempt and its chunk; None: no endpoint could have one in time.
        """
        ready, trials = self._eligible()
        self._give_up_at = min(self._clock.now() + self._first_word_deadline(), self._ends_at)
        asked = sum(attempt.role != "trial" for attempt in self._ledger.attempts)
        race = Race(
            ready,
            max_attempts=self._options.max_attempts + self._ledger.resumes - asked,
            give_up_at=self._give_up_at,
            calls=self._call_patience(),
            repeats=self._repeats,
        )
        while True:
            now = self._clock.now()
            step = race.next_step(now, may_hedge=self._may_hedge(race))
            if isinstance(step, GiveUp):
                self._attempts.give_up()
                return None
            if isinstance(step, Late):
                step.attempt.late()
                continue
            if isinstance(step, TimedOut):
                self._fail_over(race, step.attempt, step.attempt.silence)
                continue
            if isinstance(step, Start):
                self._start(race, step, trials)
                trials = ()
                continue
            posted = await self._mailbox.get(step.until)
            if posted is None:
                continue
            attempt, event = posted
            if attempt not in self._ledger.running:
                continue  # a late report of an attempt that was given up
            silent = self._request.may_be_silent and not self._ledger.given
            if chunk := winning(event, self._ledger.given, may_be_silent=silent):
                self._prepare_takeover(attempt, race.queue)
                return attempt, chunk
            if failure := failure_before_a_word(event, may_be_silent=silent):
                self._fail_over(race, attempt, failure)

    def _call_patience(self) -> CallPatience | None:
        if self._request.speech:
            return None
        return CallPatience(self._options.stall, self._first_word_deadline(), self._ends_at)

    def _may_hedge(self, race: Race) -> bool:
        """Returns whether the next endpoint may be asked beside one that takes all of it."""
        is_less = bool(self._reduced) and any(e in self._reduced for e in race.queue[:1])
        return self._router.budget.has_token and not is_less

    def _start(self, race: Race, step: Start, trials: Sequence[Endpoint]) -> None:
        if step.reason == "hedge":
            self._router.budget.withdraw()
        race.started(self._attempts.start(step.endpoint, self._role(step)))
        for trial in self._attempts.start_trials(trials):
            race.started(trial)

    def _fail_over(self, race: Race, attempt: Attempt, failure: Failure) -> None:
        race.ended(attempt)
        self._fail(attempt, failure)
        race.retain(self._may_ask)
        if race.has_only_last_resorts:
            # No healthy endpoint is left: ask those with an open breaker before giving up.
            ready, _ = self._eligible()
            race.requeue(ready)

    def _fail(self, attempt: Attempt, failure: Failure) -> None:
        self._attempts.fail(attempt, failure)
        now = self._clock.now()
        spoke = attempt.given > 0
        left = self._first_word_deadline() if spoke else self._give_up_at - now
        self._repeats.failed(attempt.endpoint, failure, now, spoke=spoke, time_left=left)

    async def _speak(self, winner: Attempt, chunk: Chunk) -> AsyncGenerator[Chunk, None]:
        """Yields what the winner says, until it has finished or broken off."""
        self._attempts.win(winner)
        self._router.pool.record_answer(self._request.session_id, winner.endpoint)
        seam = Seam(self._ledger.given, winner.endpoint.provider.continuation)
        given_before = len(self._ledger.given)
        name = winner.name
        while True:
            if given_before and chunk.logprobs:
                chunk = chunk._replace(logprobs=())
            is_whole = bool(chunk.finish_reason or chunk.tool_calls)
            text = seam.feed(chunk.text) + (seam.flush() if is_whole else "")
            text, chunk = self._within_length(text, chunk)
            self._give(text, chunk, winner)
            if chunk.finish_reason and self._is_cut_short(given_before):
                self._fail(winner, Failure(FailureClass.EMPTY, "nothing more came"))
                return
            self._ledger.is_finished = chunk.finish_reason is not None
            yield chunk.given_out(text, name)
            if self._ledger.is_finished:
                break
            event = await self._next_event(winner)
            if isinstance(event, Chunk):
                chunk = event
                continue
            if self._gave_tool_calls:
                # All that was asked for is out: what the server does after that does no harm.
                self._ledger.is_finished = True
                yield Chunk(finish_reason="tool_calls", connection=name)
            elif event is None and self._is_out_of_time:
                self._attempts.stop(winner, "cancelled")  # the reply's time ran out, not its words
            else:
                self._fail(winner, event or self._stall.failure())
            return
        async with aclosing(self._usage_after_end(winner)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _usage_after_end(self, winner: Attempt) -> AsyncGenerator[Chunk, None]:
        """Yields the token counts that follow the end of a reply, for a moment."""
        self._check_at = _CHECK_NOW
        self._ends_at = self._clock.now() + _USAGE_AFTER_END
        while not (self._length.is_reached or self._is_out_of_time):
            event = await self._next_event(winner)
            if not isinstance(event, Chunk):
                return
            if event.usage:
                yield Chunk(usage=event.usage, connection=winner.name)

    def _within_length(self, text: str, chunk: Chunk) -> tuple[str, Chunk]:
        """Returns as much of a chunk's text as the reply's length allows, and the chunk."""
        if not text or chunk.tool_calls:
            return text, chunk
        text = self._length.take(text)
        if self._length.is_cut and self._request.speech:
            text += self._router.phrases.closing(text, self._request.language)
        if self._length.is_reached:
            chunk = chunk._replace(finish_reason="length")
        return text, chunk

    def _last_words(self) -> Chunk:
        """Returns the end of a reply which no endpoint can finish: a phrase, if one is owed.

        Raises ReplyFailedError for a reader of text who got no word.
        """
        speakers = [attempt for attempt in self._ledger.attempts if attempt.given]
        was_calling = any(a.called_at is not None for a in self._ledger.attempts)
        is_whole = may_end_quietly(
            self._ledger.given, speakers=len(speakers), was_calling=was_calling
        )
        if is_whole and not self._is_out_of_time:
            self._ledger.won(speakers[0])
            self._ledger.is_finished = True
            return Chunk(finish_reason="stop", connection=speakers[0].name)
        phrases = self._router.phrases
        language = self._request.language
        self._ledger.all_failed(self._reasons)
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

    # ── Endpoints that may be asked ──────────────────────────────────────────────────────────────

    def _eligible(self) -> tuple[Sequence[Endpoint], Sequence[Endpoint]]:
        """Returns the endpoints to ask, best first, and those to probe beside the first.

        Leaves out the endpoints that have failed this reply or are being asked already.
        """
        failed = [e for e in self._ledger.failures if not self._attempts.may_ask_for_less(e)]
        asked = {*failed, *(attempt.endpoint for attempt in self._ledger.running)}
        plan = self._router.pool.plan(self._request, self._clock.now(), without=asked)
        self._reasons = plan.reasons
        self._reduced = plan.reduced
        if not self._ledger.failures and not self._ledger.given:
            return plan.ready, plan.trials  # nothing yet that could rule one of them out
        ready = [endpoint for endpoint in plan.ready if self._may_ask(endpoint)]
        return ready, () if self._ledger.given else plan.trials

    def _may_ask(self, endpoint: Endpoint) -> bool:
        if self._ledger.given and endpoint.provider.last_resort:
            return False  # it cannot continue another's words
        if not self._repeats.may_ask(endpoint):
            return False
        if self._attempts.may_ask_for_less(endpoint):
            return True
        may_move = self._options.move_on_refused_content
        return may_ask(endpoint, self._ledger.failures, move_on_refused_content=may_move)

    def _role(self, step: Start) -> Role:
        if not self._ledger.attempts:
            return "first"
        return "resume" if self._ledger.given and step.reason != "hedge" else step.reason

    def _prepare_takeover(self, winner: Attempt, queue: Sequence[Endpoint]) -> None:
        """Works out how soon another endpoint could take over from the winner.

        The next would be an endpoint that was not asked, else one that was asked and is not late,
        else the winner's own; each only if it may be asked once more.
        """
        asked = [a.endpoint for a in self._ledger.running if a is not winner and not a.is_late]
        # No spare where another takeover would exceed the resumes allowed.
        may_resume = self._ledger.resumes < self._options.max_resumes
        spares = [e for e in (*queue, *asked) if self._repeats.may_ask(e)] if may_resume else []
        now = self._clock.now()
        options = self._options.patience
        lead = takeover_lead(spares, self._size, now, options)
        has_spare = lead is not None
        if not has_spare and may_resume and self._repeats.may_repeat(winner.endpoint):
            lead = usual_wait(winner.endpoint.latency.first_word(self._size), options)
        self._stall.take_over(lead, now, has_spare=has_spare)
        self._check_at = _CHECK_NOW

    # ── Waiting for the winner's next words ──────────────────────────────────────────────────────

    async def _next_event(self, winner: Attempt) -> Chunk | Failure | None:
        """Returns the winner's next chunk or failure; None: it did not come in time.

        The deadline is worked out when the timer fires and when a clause is whole, not for every
        chunk: any other words only move it further away.
        """
        while True:
            posted = await self._mailbox.get(self._check_at)
            if posted is None:
                self._check_at = self._due_at(winner)
                if self._clock.now() >= self._check_at:
                    return None
                continue
            attempt, event = posted
            if attempt is not winner or event == MORE_OF_A_CALL:
                continue
            return event or _UNFINISHED

    def _due_at(self, winner: Attempt) -> float:
        if self._ledger.is_finished:
            return self._ends_at
        due_at = self._stall.due_at(winner, self._clock.now())
        is_calling = winner.progress_at > winner.useful_at
        if self._ledger.given and not (winner.given or is_calling):
            # A continuation that only repeats words has until the deadline for a new one.
            lately = winner.useful_at + self._options.spoken_stall
            due_at = min(due_at, max(self._give_up_at, lately))
        return min(due_at, winner.times_out_at, self._ends_at)

    def _give(self, text: str, chunk: Chunk, winner: Attempt) -> None:
        self._gave_tool_calls = self._gave_tool_calls or bool(chunk.tool_calls)
        if text:
            self._given_at = self._clock.now()
            if self._stall.feed(text, winner.useful_at):
                self._check_at = _CHECK_NOW
            can_speak = self._stall.is_speaking or chunk.finish_reason is not None
            self._ledger.gave(text, is_clause=can_speak)

    def _is_cut_short(self, given_before: int) -> bool:
        """Returns whether a continuation ended without adding to an unfinished sentence."""
        added = self._ledger.given[given_before:].strip() or self._gave_tool_calls
        return bool(given_before) and not added and not ends_sentence(self._ledger.given)

    def _first_word_deadline(self) -> float:
        options = self._options
        usual = options.first_word_deadline if self._request.speech else options.text_deadline
        wanted = self._request.first_word_deadline
        return usual if wanted is None else wanted

    @property
    def _silent_for(self) -> float:
        """Seconds since the caller ran out of words."""
        spoken_until = self._stall.silent_from if self._request.speech else None
        return self._clock.now() - max(self._given_at, spoken_until or 0.0)

    @property
    def _is_out_of_time(self) -> bool:
        return self._clock.now() >= self._ends_at
