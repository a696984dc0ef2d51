"""Router.stream: who is asked, in what order, and what happens when they do not answer.

One reply goes through three steps, and may go round: a *race* for the first useful chunk,
*speaking* what the winner says, and, when it breaks off, a race for who goes on. All waiting is
in `Mailbox.get`; everything decided is decided by plain functions of the time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from llm_router.budget import Budget
from llm_router.clock import Clock
from llm_router.endpoint import Attempt, Endpoint, Mailbox, Role, Settling
from llm_router.errors import ReplyFailedError
from llm_router.failures import Failure, FailureClass, failure_before_a_word
from llm_router.hedge import GiveUp, Race, Start, patience, usual_wait
from llm_router.latency import size_class
from llm_router.observe import Observer, Observers, ReplyEvent
from llm_router.options import RouterOptions
from llm_router.phrases import Phrases
from llm_router.pool import Pool, may_follow, prompt_characters
from llm_router.resume import Seam, resume_request
from llm_router.speech import SpeechClock, ends_sentence, has_clause
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
        self.sorries = 0
        self.settling = Settling(clock)

    def stream(self, request: ChatRequest, observers: Sequence[Observer] = ()) -> "Reply":
        """One reply, to be read with `async for`; `observers` are told of this one alone.

        With `request.speech` it raises nothing for what a provider did: when all fail, a phrase is
        said. Otherwise ReplyFailedError says why each connection did not answer. Leaving the loop
        early, closing the reply or cancelling the task that reads it closes every stream behind it.
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


_SILENT = Failure(FailureClass.SILENT, "no word by the deadline")
_USAGE_AFTER_END = 0.2
"""Seconds to wait for the token counts that some servers send after the last word."""


class Reply:
    """One reply under way. `event` tells what came of it so far, and is complete at its end."""

    def __init__(self, router: Router, request: ChatRequest, observers: Sequence[Observer]) -> None:
        self._router, self._request = router, request
        self._options, self._clock = router.options, router.clock
        self._observers = Observers([*router.observers, *observers])
        self._mailbox = Mailbox(self._clock)
        self._size = size_class(prompt_characters(request))
        self._asked: list[Attempt] = []
        self._open: dict[Attempt, None] = {}  # started and not yet reported; in order
        self._winner: Attempt | None = None
        self._reasons: list[tuple[str, str]] = []
        self._failures: dict[str, Failure] = {}
        self._spare: Endpoint | None = None
        self._speech = SpeechClock(request.language)
        self._given = ""
        self._gave_tool_calls = self._has_clause = self._finished = self._last_resort = False
        self._first_word: float | None = None
        self._resumes = 0
        self._chunks = self._run()

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()

    # ── The life of one reply ────────────────────────────────────────────────────────────────────

    async def _run(self) -> AsyncGenerator[Chunk, None]:
        self._started_at = self._clock.now()
        total = self._request.total_deadline or self._options.total
        self._ends_at = self._started_at + total
        self._router.budget.deposit()
        try:
            while won := await self._race():
                async with aclosing(self._speak(*won)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if self._finished:
                    return
                if self._resumes == self._options.max_resumes or self._clock.now() > self._ends_at:
                    break
                self._resumes += 1
            yield self._last_words()
        finally:
            self._close()

    async def _race(self) -> tuple[Attempt, Chunk] | None:
        """Start endpoints, one after another or side by side, until one has a useful chunk.

        None: there is nobody left who could have one in time.
        """
        now = self._clock.now()
        plan = self._router.pool.plan(self._request, now)
        self._reasons = plan.reasons
        race = Race(
            [endpoint for endpoint in plan.ready if self._may_ask(endpoint)],
            self._router.budget.withdraw,
            most=self._options.max_attempts,
            give_up_at=min(now + self._deadline(), self._ends_at),
        )
        trials = plan.trials if not self._given else []
        while True:
            step = race.next_step(self._clock.now())
            if isinstance(step, GiveUp):
                for attempt in [a for a in self._open if a.is_late]:
                    self._fail(attempt, _SILENT)
                return None
            if isinstance(step, Start):
                race.started(self._start(step.endpoint, self._role(step)))
                self._start_trials(trials)
                trials = []
                continue
            if (event := await self._mailbox.get(step.until)) is None:
                continue
            attempt, what = event
            if attempt not in self._open:
                continue  # a late word of one that was given up on
            if isinstance(what, Chunk) and what.useful:
                self._spare = self._who_could_take_over(attempt, race.queue)
                return attempt, what
            if failure := failure_before_a_word(what):
                race.ended(attempt)
                self._fail(attempt, failure)
                race.queue = [e for e in race.queue if self._may_ask(e)]

    async def _speak(self, winner: Attempt, chunk: Chunk) -> AsyncGenerator[Chunk, None]:
        """Give out what the winner says, until it has finished or broken off."""
        self._win(winner)
        seam = Seam(self._given, winner.endpoint.provider.continuation)
        said_before = len(self._given)
        ending = False
        last_chunk_at = self._clock.now()
        while True:
            ending = ending or chunk.finish_reason is not None
            text = seam.feed(chunk.text) + (seam.flush() if chunk.finish_reason else "")
            self._account(winner, text, chunk)
            if chunk.finish_reason and self._is_cut_short(said_before):
                self._fail(winner, Failure(FailureClass.EMPTY, "nothing more came"))
                return
            yield replace(chunk, text=text, connection=winner.name)
            now = self._clock.now()
            if chunk.useful:
                last_chunk_at = now
            until = now + _USAGE_AFTER_END if ending else self._patience_ends(winner, last_chunk_at)
            event = await self._next_of(winner, until)
            if isinstance(event, Chunk):
                chunk = event
                continue
            if ending or self._gave_tool_calls:
                # All that was asked for is out: what the server does after that harms nobody.
                self._finished = True
                if not ending:
                    yield Chunk(finish_reason="tool_calls", connection=winner.name)
                return
            self._fail(winner, event or self._silence())
            return

    # ── Attempts ─────────────────────────────────────────────────────────────────────────────────

    def _may_ask(self, endpoint: Endpoint) -> bool:
        """Nobody is asked twice in a race, and none that this reply's failures rule out."""
        if self._given and endpoint.provider.last_resort:
            return False
        for name, failure in self._failures.items():
            if name == endpoint.name:
                return False
            if failure.kind is FailureClass.REFUSED_CONTENT:
                if not self._options.move_on_refused_content:
                    return False
            elif not may_follow(endpoint, self._router.pool.named(name), failure):
                return False
        return True

    def _role(self, step: Start) -> Role:
        if not self._asked:
            return "first"
        return "resume" if self._given and step.why == "failover" else step.why

    def _start(self, endpoint: Endpoint, role: Role) -> Attempt:
        request = self._request
        if self._given:
            request = resume_request(request, self._given, endpoint.provider.continuation)
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
        self._asked.append(attempt)
        self._open[attempt] = None
        return attempt

    def _start_trials(self, endpoints: Sequence[Endpoint]) -> None:
        """Rested endpoints, beside the first: their cost is bounded by how seldom they rest."""
        for endpoint in endpoints:
            allowed = endpoint.connection.hedge == "allowed"
            if allowed and endpoint.breaker.take_trial(self._clock.now()):
                self._start(endpoint, "trial")

    def _win(self, winner: Attempt) -> None:
        self._winner = winner
        if self._first_word is None:
            self._first_word = self._clock.now() - self._started_at
        self._last_resort = winner.endpoint.provider.last_resort and len(self._asked) > 1
        self._router.pool.answered(self._request.session_id, winner.endpoint)
        for attempt in [a for a in self._open if a is not winner]:
            if attempt.role == "trial":
                self._router.settling.watch(attempt)
                self._report(attempt, "lost")
            elif attempt.is_late:
                self._fail(attempt, _SILENT)
            else:
                if attempt.started_at < winner.started_at:
                    attempt.overtaken()
                self._stop(attempt, "lost")

    def _stop(self, attempt: Attempt, outcome: str) -> None:
        attempt.cut()
        attempt.cancel()
        self._router.settling.add(attempt)
        self._report(attempt, outcome)

    def _fail(self, attempt: Attempt, failure: Failure) -> None:
        attempt.failed(failure)
        attempt.cancel()
        self._router.settling.add(attempt)
        if attempt.role != "trial":
            self._failures[attempt.name] = failure
        self._report(attempt, str(failure.kind), failure)

    def _close(self) -> None:
        """The end, however it came. Awaits nothing, so that a barge-in is not held up."""
        for attempt in list(self._open):
            if attempt is self._winner and self._finished:
                attempt.finished()
                attempt.cancel()
                self._router.settling.add(attempt)
                self._report(attempt, "won")
            else:
                self._stop(attempt, "cancelled")
        self._observers.reply_ended(self.event)

    # ── Waiting while somebody speaks ────────────────────────────────────────────────────────────

    async def _next_of(self, winner: Attempt, until: float) -> Chunk | Failure | None:
        """Its next chunk or failure; None: its stream has ended, or the time has come."""
        while event := await self._mailbox.get(until):
            attempt, what = event
            if attempt is winner:
                return what
        return None

    def _patience_ends(self, winner: Attempt, last_chunk: float) -> float:
        options = self._options
        if not self._request.speech:
            return min(last_chunk + options.stall, self._ends_at)
        if self._spare is None:
            # Nobody could take over: a slow voice is better than none.
            return min(last_chunk + options.first_word_deadline, self._ends_at)
        due = self._speech.more_due(
            first_word=winner.first_word_at or last_chunk,
            last_chunk=last_chunk,
            lead=usual_wait(self._spare.latency.first_word(self._size), options.patience),
            options=options,
        )
        return min(due, self._ends_at)

    def _silence(self) -> Failure:
        if self._request.speech and self._speech.silent_from is None:
            return Failure(FailureClass.DRIPPING, "no whole clause in time")
        return Failure(FailureClass.STALLED, "stopped in the middle")

    def _account(self, winner: Attempt, text: str, chunk: Chunk) -> None:
        self._gave_tool_calls = self._gave_tool_calls or bool(chunk.tool_calls)
        if not text:
            return
        self._given += text
        self._speech.heard(text, self._clock.now())
        if not self._has_clause and (has_clause(self._given) or chunk.finish_reason):
            self._has_clause = True
            if not self._resumes:
                winner.clause_given()

    def _who_could_take_over(self, winner: Attempt, queue: Sequence[Endpoint]) -> Endpoint | None:
        """The next that was not asked, else one that was asked too and has not failed."""
        others = [*queue, *(attempt.endpoint for attempt in self._open if attempt is not winner)]
        return next((e for e in others if not e.provider.last_resort), None)

    def _deadline(self) -> float:
        if self._request.first_word_deadline is not None:
            return self._request.first_word_deadline
        options = self._options
        return options.first_word_deadline if self._request.speech else options.text_deadline

    # ── The end ──────────────────────────────────────────────────────────────────────────────────

    def _is_cut_short(self, said_before: int) -> bool:
        """A continuation that adds nothing is an end only where the sentence was at its end."""
        added = self._given[said_before:].strip() or self._gave_tool_calls
        return bool(said_before) and not added and not ends_sentence(self._given)

    def _last_words(self) -> Chunk:
        """What is said when nobody is left. Raises ReplyFailedError for readers of text who have
        not been given a word.
        """
        phrases, language = self._router.phrases, self._request.language
        self._last_resort = self._finished = True
        if self._given:
            text = phrases.closing(self._given, language)
        elif self._request.speech:
            text = phrases.pick("sorry", language, self._router.sorries)
            self._router.sorries += 1
        else:
            failures = [(name, str(failure)) for name, failure in self._failures.items()]
            raise ReplyFailedError([*failures, *self._reasons])
        if self._first_word is None:
            self._first_word = self._clock.now() - self._started_at
        self._given += text
        return Chunk(text=text, finish_reason="stop")

    @property
    def event(self) -> ReplyEvent:
        name = "" if self._winner is None else self._winner.name
        asked = list(dict.fromkeys(a.name for a in self._asked if a.role != "trial"))
        before = asked[: asked.index(name)] if name in asked else asked
        generated = sum(attempt.characters for attempt in self._asked)
        return ReplyEvent(
            session_id=self._request.session_id,
            connection=name,
            model=self._winner.endpoint.connection.model_name if self._winner else "",
            first_word=self._first_word,
            took_over_from=tuple(before),
            attempts=len(self._asked),
            resumes=self._resumes,
            last_resort=self._last_resort,
            cancelled=not self._finished,
            characters=len(self._given),
            wasted=max(0, generated - len(self._given)),
            failures=tuple(self._failures.items()),
        )

    def _report(self, attempt: Attempt, outcome: str, failure: Failure | None = None) -> None:
        del self._open[attempt]
        self._observers.attempt_ended(attempt.event(outcome, failure))
