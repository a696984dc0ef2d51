"""Ledger: the record of one reply, from which its observers get their events."""

from collections.abc import Iterable, Sequence
from contextvars import copy_context
from uuid import uuid4

from llm_router.catalog.prices import estimate_usage
from llm_router.clock import Clock
from llm_router.failures import Failure
from llm_router.routing.attempt import Attempt
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, Observer, Observers, ReplyEvent
from llm_router.types import ChatRequest


class Ledger:
    """Records the attempts of one reply and the words that it gave out.

    `running`: attempts started and not reported as ended, in order. `deadline`: as in ReplyEvent.
    """

    def __init__(
        self,
        request: ChatRequest,
        clock: Clock,
        observers: Sequence[Observer],
        *,
        prompt_characters: int = 0,
        deadline: float = 0.0,
    ) -> None:
        self.reply_id = uuid4().hex
        self._session_id = request.session_id
        self._integration = request.integration or ""
        self._api_key_id = request.api_key_id
        self._assistant = request.assistant
        self._prompt_characters = prompt_characters
        self.prompt_tokens = estimate_usage(prompt_characters, 0).prompt_tokens
        self._deadline = deadline
        self._clock = clock
        self._observers = Observers(observers)
        self._context = copy_context()
        self.started_at = clock.now()
        self.attempts: list[Attempt] = []
        self.running: dict[Attempt, None] = {}
        self.failures: dict[Endpoint, Failure] = {}
        self.winner: Attempt | None = None
        self._given = [request.voiced]
        self._voiced = len(request.voiced)
        self.resumes = 0
        self.is_finished = False
        self.is_last_resort = False
        self._ended: list[AttemptEvent] = []
        self.unasked: tuple[tuple[str, str], ...] = ()
        self._first_word: float | None = None
        self._first_clause: float | None = None

    def started(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.running[attempt] = None
        attempt.endpoint.limits.request_started(self.prompt_tokens, attempt.started_at)

    def won(self, attempt: Attempt) -> None:
        self.winner = attempt
        attempt.delivered = True
        self.is_last_resort = attempt.endpoint.provider.last_resort and len(self.attempts) > 1
        if attempt.first_word_at is not None:  # an answer without a word has none
            self._note_first_word()

    @property
    def given(self) -> str:
        """All words of the reply so far, voiced before the request or given out since.

        Joined when read: joining with each chunk is quadratic.
        """
        if len(self._given) > 1:
            self._given = ["".join(self._given)]
        return self._given[0]

    def gave(self, text: str, *, is_clause: bool) -> None:
        """Records words of the winner given out; `is_clause`: with them a voice can start."""
        self._given.append(text)
        if self.winner:
            self.winner.given += len(text)
        if is_clause and self._first_clause is None:
            self._first_clause = self._elapsed()
            if self.winner and not self.resumes:
                self.winner.clause_given()

    def all_failed(self, unasked: Iterable[tuple[str, str]]) -> None:
        """Records that only the router's own phrase is left.

        `unasked`: connections that were not asked, and why.
        """
        self.winner = None
        self.is_last_resort = True
        self.is_finished = True
        self.unasked = tuple(unasked)

    def phrased(self, text: str) -> None:
        """Records that the router's own phrase was given out; it ends the reply."""
        self._note_first_word()
        self.gave(text, is_clause=True)

    def ended(self, attempt: Attempt, outcome: str, failure: Failure | None = None) -> None:
        """Counts an attempt towards its connection's limits and reports it to the observers."""
        del self.running[attempt]
        event = attempt.event(outcome, failure)
        tokens, cost = event.charged(self._prompt_characters)
        attempt.endpoint.limits.request_ended(
            tokens.prompt_tokens + tokens.completion_tokens - self.prompt_tokens,
            cost or 0.0,
            self._clock.now(),
        )
        self._ended.append(event)
        self._observers.attempt_ended(self._ended[-1])

    def close(self) -> None:
        """Reports the reply to its observers, in the context variables of its caller."""
        self._context.run(self._observers.reply_ended, self.event)

    @property
    def event(self) -> ReplyEvent:
        name = "" if self.winner is None else self.winner.name
        asked = list(dict.fromkeys(a.name for a in self.attempts if a.role != "trial"))
        before = asked[: asked.index(name)] if name in asked else asked
        generated = sum(attempt.characters for attempt in self.attempts)
        given = self.given[self._voiced :]
        return ReplyEvent(
            reply_id=self.reply_id,
            session_id=self._session_id,
            integration=self._integration,
            api_key_id=self._api_key_id,
            assistant=self._assistant,
            prompt_characters=self._prompt_characters,
            deadline=self._deadline,
            connection=name,
            model=self.winner.endpoint.connection.model_name if self.winner else "",
            started_at=self.started_at,
            first_word=self._first_word,
            first_clause=self._first_clause,
            duration=self._elapsed(),
            took_over_from=tuple(before),
            attempts=len(self.attempts),
            resumes=self.resumes,
            last_resort=self.is_last_resort,
            cancelled=not self.is_finished,
            words=given.count(" ") + bool(given),
            characters=len(given),
            wasted=max(0, generated - len(given)),
            failures=tuple((e.name, failure) for e, failure in self.failures.items()),
            unasked=self.unasked,
            tries=tuple(self._ended),
        )

    def _note_first_word(self) -> None:
        if self._first_word is None:
            self._first_word = self._elapsed()

    def _elapsed(self) -> float:
        return self._clock.now() - self.started_at
