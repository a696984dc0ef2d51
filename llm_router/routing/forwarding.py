"""Passes a request that is not chat on to one endpoint after another, until one answers.

Embeddings, speech and transcriptions are no replies: no endpoint can go on where another broke off.
So one that fails is replaced before the first byte of its answer, and not after it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

from llm_router.catalog.prices import estimate_usage
from llm_router.classification import classify
from llm_router.clock import Clock
from llm_router.errors import BrokenStreamError, ReplyFailedError
from llm_router.failures import Failure, FailureClass
from llm_router.providers.base import Body, ForwardedAnswer, Forwards
from llm_router.routing.attempt import SILENT, Role
from llm_router.routing.eligibility import may_follow
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import AttemptEvent, Observer, Observers, ReplyEvent
from llm_router.types import Integration

_logger = logging.getLogger("llm_router")

_MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRequest:
    """A request to pass on.

    `body_for` makes its body for the model of that name. `characters`: of text in it, by which
    tokens are estimated where a server counts none. An endpoint that is silent for `silence` (s) is
    replaced while there is another; the last one has its connection's timeout.
    """

    route: str
    """Below the root of the server's API: `/embeddings`."""
    body_for: Callable[[str], Body]
    characters: int
    silence: float
    integration: Integration = "automation"
    api_key_id: str = ""
    """API key that it is counted for; empty: none."""


class Forwarding:
    """One request on its way: `async with` opens the answer, `pieces` reads it.

    Entering raises ReplyFailedError where no endpoint answers, and `event` then says why. Reading
    raises BrokenStreamError for an answer that breaks off, or whose server is waited for longer, in
    all, than its connection's timeout; the time that a reader takes is not counted.
    Leaving the block, or cancelling its task, closes the stream, so that the server stops.
    """

    def __init__(
        self,
        request: ForwardRequest,
        endpoints: Iterable[Endpoint],
        *,
        clock: Clock,
        observers: Sequence[Observer],
    ) -> None:
        self.id = uuid4().hex
        self._request = request
        self._endpoints = tuple(endpoints)
        self._clock = clock
        self._observers = Observers(observers)
        self._started_at = clock.now()
        self._attempts: list[_Attempt] = []
        self._events: list[AttemptEvent] = []
        self._failures: dict[Endpoint, Failure] = {}
        self._unasked: list[tuple[str, str]] = []
        self._answered: _Attempt | None = None
        self._is_whole = False
        self._is_last = False
        self._is_reported = False

    @property
    def content_type(self) -> str:
        """The server's own; empty where it names none."""
        return "" if self._answered is None else self._answered.content_type

    async def __aenter__(self) -> Self:
        try:
            for endpoint in self._candidates():
                if await self._try(endpoint):
                    return self
        except BaseException:
            await self._close()
            raise
        await self._close()
        reasons = [(one.name, str(failure)) for one, failure in self._failures.items()]
        raise ReplyFailedError([*reasons, *self._unasked])

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yields the answer as it comes."""
        attempt = self._answered
        if attempt is None:
            raise RuntimeError("there is no answer to read")
        try:
            yield attempt.first
            while piece := await attempt.next_piece():
                yield piece
        except Exception as error:
            self._failed(attempt, self._failure(attempt, error))
            raise BrokenStreamError("the answer broke off") from error
        attempt.endpoint.breaker.succeeded(attempt.generation)
        self._is_whole = True

    @property
    def event(self) -> ReplyEvent:
        """The account of the request so far."""
        answered = self._answered
        asked = list(dict.fromkeys(attempt.endpoint.name for attempt in self._attempts))
        name = answered.endpoint.name if answered else ""
        return ReplyEvent(
            reply_id=self.id,
            session_id="",
            integration=self._request.integration,
            api_key_id=self._request.api_key_id,
            prompt_characters=self._request.characters,
            connection=name,
            model=answered.endpoint.connection.model_name if answered else "",
            started_at=self._started_at,
            first_word=answered.first_at - self._started_at if answered else None,
            duration=self._clock.now() - self._started_at,
            took_over_from=[one for one in asked if one != name],
            attempts=len(self._attempts),
            resumes=0,
            last_resort=False,
            cancelled=not (self._is_whole or self._failures),
            characters=0,
            wasted=0,
            failures=[(one.name, failure) for one, failure in self._failures.items()],
            unasked=self._unasked,
            tries=tuple(self._events),
        )

    def _candidates(self) -> Iterator[Endpoint]:
        """Yields the endpoints to ask, in the order of their priorities; those that rest, last."""
        now = self._clock.now()
        waiting = []
        for endpoint in self._endpoints:
            if not isinstance(endpoint.provider, Forwards):
                self._unasked.append((endpoint.name, "its provider only serves chat"))
            elif reached := endpoint.limits.reached(now):
                self._unasked.append((endpoint.name, reached.reason))
            elif endpoint.may_start(now):
                waiting.append(endpoint)
        waiting.sort(key=lambda one: (_rests(one, now), one.connection.priority))
        while waiting and len(self._attempts) < _MOST_ATTEMPTS:
            endpoint = waiting.pop(0)
            self._is_last = not waiting or len(self._attempts) == _MOST_ATTEMPTS - 1
            if all(may_follow(endpoint, *failed) for failed in self._failures.items()):
                yield endpoint

    async def _try(self, endpoint: Endpoint) -> bool:
        """Asks the endpoint, and returns whether it has answered."""
        attempt = _Attempt(endpoint, "failover" if self._attempts else "first", self._clock)
        self._attempts.append(attempt)
        endpoint.limits.request_started(self._prompt_tokens, attempt.started_at)
        timeout = endpoint.connection.timeout
        within = timeout if self._is_last else min(timeout, self._request.silence)
        try:
            async with asyncio.timeout(within):
                await attempt.open(self._request)
        except Exception as error:  # noqa: BLE001  the edge to a provider: its fault ends this try
            self._failed(attempt, self._failure(attempt, error))
            await attempt.close()
            return False
        self._answered = attempt
        return True

    def _failure(self, attempt: "_Attempt", error: Exception) -> Failure:
        if isinstance(error, TimeoutError):
            return SILENT
        failure = classify(error, (), attempt.endpoint.connection.secrets)
        if failure.kind is FailureClass.BUG:
            _logger.error("a bug at connection %s", attempt.endpoint.name, exc_info=error)
        return failure

    def _failed(self, attempt: "_Attempt", failure: Failure) -> None:
        self._failures[attempt.endpoint] = failure
        attempt.endpoint.breaker.failed(failure, self._clock.now(), attempt.generation)
        self._ended(attempt, str(failure.kind), failure)

    def _ended(self, attempt: "_Attempt", outcome: str, failure: Failure | None = None) -> None:
        """Counts an attempt towards its connection's limits, and reports it."""
        if attempt.is_over:
            return
        attempt.is_over = True
        event = attempt.event(outcome, failure, delivered=attempt is self._answered)
        tokens, cost = event.charged(self._request.characters)
        attempt.endpoint.limits.request_ended(
            tokens.prompt_tokens + tokens.completion_tokens - self._prompt_tokens,
            cost or 0.0,
            self._clock.now(),
        )
        self._events.append(event)
        self._observers.attempt_ended(event)

    @property
    def _prompt_tokens(self) -> int:
        return estimate_usage(self._request.characters, 0).prompt_tokens

    async def _close(self) -> None:
        """Ends what is open, and reports the request, once."""
        if self._is_reported:
            return
        self._is_reported = True
        for attempt in self._attempts:
            self._ended(attempt, "won" if self._is_whole else "cancelled")
        self._observers.reply_ended(self.event)
        for attempt in self._attempts:
            await attempt.close()


class _Attempt:
    """One try at one endpoint, from its start to the end of its answer."""

    def __init__(self, endpoint: Endpoint, role: Role, clock: Clock) -> None:
        self.endpoint = endpoint
        self.role = role
        self.generation = endpoint.breaker.generation
        self.started_at = clock.now()
        self.first = b""
        self.first_at = self.started_at
        self.content_type = ""
        self.is_over = False
        self._waited = 0.0
        self._clock = clock
        self._stack = AsyncExitStack()
        self._answer: ForwardedAnswer | None = None
        endpoint.in_flight += 1
        self._stack.callback(self._on_end)

    def _on_end(self) -> None:
        self.endpoint.in_flight -= 1

    async def open(self, request: ForwardRequest) -> None:
        """Waits for the first byte of its answer. Raises UpstreamError."""
        provider = self.endpoint.provider
        if not isinstance(provider, Forwards):
            raise TypeError(provider)
        body = request.body_for(self.endpoint.connection.model_name)
        answer = await self._stack.enter_async_context(provider.forward(request.route, body))
        self._answer = answer
        self.content_type = answer.content_type
        self.first = await anext(answer.pieces, b"")
        if not self.first:
            raise BrokenStreamError("an empty answer")
        self.first_at = self._clock.now()
        self._waited = self.first_at - self.started_at

    async def next_piece(self) -> bytes:
        """Returns the next piece, none at the end.

        Raises UpstreamError, and TimeoutError when the server has used up its connection's time.
        """
        if self._answer is None:
            return b""
        asked_at = self._clock.now()
        async with asyncio.timeout(max(0.0, self.endpoint.connection.timeout - self._waited)):
            piece = await anext(self._answer.pieces, b"")
        self._waited += self._clock.now() - asked_at
        return piece

    async def close(self) -> None:
        await self._stack.aclose()

    def event(self, outcome: str, failure: Failure | None, *, delivered: bool) -> AttemptEvent:
        return self.endpoint.attempt_event(
            role=self.role,
            outcome=outcome,
            failure=failure,
            started_at=self.started_at,
            first_word=self.first_at - self.started_at if self.first else None,
            duration=self._clock.now() - self.started_at,
            characters=0,
            delivered=delivered,
            usage=self._answer.usage if self._answer else None,
        )


def _rests(endpoint: Endpoint, now: float) -> bool:
    """Returns whether its breaker holds it back; one that is half-open is tried now and then."""
    state = endpoint.breaker.state(now)
    return state == "open" or (state == "half-open" and not endpoint.breaker.take_trial(now))
