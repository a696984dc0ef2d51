"""RouterStream: one reply of a RouterLLM."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from livekit.agents import APIConnectionError, APIError, APITimeoutError, llm, utils

from llm_router.clock import SystemClock
from llm_router.errors import ReplyFailedError
from llm_router.failures import SAID_NOTHING
from llm_router.integrations.livekit.errors import ReplyError, api_error
from llm_router.integrations.livekit.history import PHRASE, ROUTE
from llm_router.integrations.livekit.node import Place
from llm_router.integrations.livekit.opening import LazyRouter
from llm_router.integrations.livekit.request import Asked, chat_request
from llm_router.options import RouterOptions
from llm_router.providers._wire.extras import to_livekit
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Reply, Router
from llm_router.types import ChatRequest, Chunk

if TYPE_CHECKING:
    from llm_router.integrations.livekit.llm import RouterLLM

_logger = logging.getLogger("llm_router")


class RouterStream(llm.LLMStream):
    """A reply in progress. Every fault in it ends in `_fail`: a phrase or an error, by its `place`.

    The request is translated when it is made, before anybody can change the history; a fault in
    that is raised by the task, where LiveKit expects it.
    """

    # Each attempt has a span of its own; LiveKit's attempt span would enclose all of them.
    _llm_attempt_span_name: ClassVar[str | None] = None

    def __init__(
        self,
        model: "RouterLLM",
        lazy: LazyRouter,
        asked: Asked,
        *,
        place: Place,
        language: str,
        session_id: str,
    ) -> None:
        # The base class starts its tasks at once, so these fields are set before.
        self._router_llm = model
        self._lazy = lazy
        self._place = place
        self._language = language
        self._timeout = asked.timeout
        self._request: ChatRequest | Exception
        try:
            self._request = chat_request(
                asked, speech=place.speech, language=language, session_id=session_id
            )
        except Exception as error:  # noqa: BLE001  raised again by the task
            self._request = error
        self._id = utils.shortuuid("reply_")
        self._connection: str | None = None
        """The connection that gave the latest words; empty: the router's own phrase."""
        self._answered: ReplyEvent | None = None
        """The reply when a connection gave its first words last."""
        self._ended: ReplyEvent | None = None
        self._spoken: list[str] = []
        super().__init__(
            model,
            chat_ctx=asked.chat_ctx,
            tools=list(asked.tools),
            conn_options=replace(asked.conn_options, max_retry=0),
        )
        self._retry_on_chunk_sent = False

    async def collect(self) -> llm.CollectedResponse:
        """Collects the whole reply as data: a failure is raised, wherever it is asked for."""
        self._place = replace(self._place, phrases=False)
        return await super().collect()

    async def _run(self) -> None:
        router: Router | None = None
        try:
            router = await self._opened()
            request = _raised(self._request)
            await self._answer(router, self._bounded(request, router.options))
        except APIError as error:
            self._fail(error, router)
        except ReplyFailedError as error:
            if self._ended is None or not _chose_silence(self._ended):
                failures = [failure for _, failure in self._ended.failures] if self._ended else []
                self._fail(api_error(str(error), failures), router)
        except Exception as error:  # a bug must not become silence in the call either
            _logger.exception("the router failed")
            failed = APIConnectionError(
                f"the router failed: {type(error).__name__}", retryable=False
            )
            failed.__cause__ = error
            self._fail(failed, router)

    async def _opened(self) -> Router:
        """Returns the router. Raises APIError if it cannot be opened, or not in time."""
        options = RouterOptions()  # its own are unknown until it is open
        is_spoken = self._place.speech
        usual = options.first_word_deadline if is_spoken else options.text_deadline
        try:
            async with asyncio.timeout(min(usual, self._timeout or usual)):
                return await self._lazy.opened()
        except TimeoutError as error:
            raise APITimeoutError(
                "the router was not open in time; ask again, it is still being opened"
            ) from error
        except Exception as error:
            # Its opening has logged it.
            raise APIConnectionError(
                "the router could not be opened; the log of llm_router says why, and the next"
                " request tries again"
            ) from error

    def _bounded(self, request: ChatRequest, options: RouterOptions) -> ChatRequest:
        """Returns the request with the caller's patience at most, where a voice waits for it."""
        if not request.speech or self._timeout is None:
            return request
        return replace(request, first_word_deadline=min(self._timeout, options.first_word_deadline))

    async def _answer(self, router: Router, request: ChatRequest) -> None:
        async with aclosing(router.stream(request, observers=[self])) as reply:
            async for chunk in reply:
                extra = None
                is_new = chunk.connection != self._connection
                if is_new and (chunk.useful or chunk.finish_reason):
                    if not chunk.connection and _chose_silence(reply.event):
                        return
                    extra = self._changed(chunk, reply)
                if chunk.text:
                    self._spoken.append(chunk.text)
                self._send(chunk, extra)

    def _changed(self, chunk: Chunk, reply: Reply) -> dict[str, Any] | None:
        """Takes note that another connection, or the router itself, gives words from now on.

        Returns the route, for the message. Raises APIError where the last resort must not speak.
        """
        event = reply.event
        self._connection = chunk.connection
        self._id = chunk.request_id or self._id
        if event.last_resort:
            error = api_error(_what_failed(event), [failure for _, failure in event.failures])
            if not self._place.phrases:
                raise error
            self._emit_error(error, recoverable=False)
        if chunk.connection:
            self._answered = event
            self._router_llm.note_answer(event)
        elif self._answered:
            # It was cut short: the words are still those of the connection that gave them.
            event = replace(self._answered, last_resort=True)
        else:
            self._router_llm.note_answer(event)
        if not chunk.useful:
            return None
        route = _route(event)
        return {ROUTE: route if chunk.connection else {**route, PHRASE: chunk.text}}

    def _fail(self, error: APIError, router: Router | None) -> None:
        """Ends the reply. Raises the error unless the caller is to hear a phrase."""
        if not self._place.phrases:
            raise error
        self._emit_error(error, recoverable=False)
        phrases = router.phrases if router else Phrases()
        spoken = "".join(self._spoken)
        if spoken:
            text = phrases.closing(spoken, self._language)
        else:
            text = phrases.pick("sorry", self._language, 0)
        route = _route(replace(self._answered, last_resort=True)) if self._answered else _NO_ROUTE
        self._send(Chunk(text=text, finish_reason="stop"), {ROUTE: {**route, PHRASE: text}})

    def _send(self, chunk: Chunk, extra: dict[str, Any] | None) -> None:
        usage = None
        if chunk.usage:
            usage = llm.CompletionUsage(
                completion_tokens=chunk.usage.completion_tokens,
                prompt_tokens=chunk.usage.prompt_tokens,
                prompt_cached_tokens=chunk.usage.cached_tokens,
                cache_creation_tokens=chunk.usage.cache_creation_tokens,
                cache_read_tokens=chunk.usage.cached_tokens,
                reasoning_tokens=chunk.usage.reasoning_tokens,
                total_tokens=chunk.usage.completion_tokens + chunk.usage.prompt_tokens,
            )
        if chunk.extras:
            extra = {**to_livekit(chunk.extras), **(extra or {})}
        delta = None
        if chunk.text or chunk.tool_calls or extra:
            calls = [
                llm.FunctionToolCall(
                    name=call.name,
                    arguments=call.arguments,
                    call_id=call.id,
                    extra=to_livekit(call.extras) or None,
                )
                for call in chunk.tool_calls
            ]
            delta = llm.ChoiceDelta(
                role="assistant", content=chunk.text or None, tool_calls=calls, extra=extra
            )
        if delta or usage:
            self._event_ch.send_nowait(llm.ChatChunk(id=self._id, delta=delta, usage=usage))

    # ── Events ───────────────────────────────────────────────────────────────────────────────────

    def _emit_error(self, api_error: Exception, recoverable: bool) -> None:
        """Emits the failure of the whole reply; LiveKit's base class calls it too."""
        if recoverable or self._current_attempt_has_error:
            return
        self._current_attempt_has_error = True
        self._llm.emit(
            "error",
            ReplyError(
                timestamp=SystemClock().wall(),
                label=self._llm.label,
                error=api_error,
                recoverable=False,
            ),
        )

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Emits a failed attempt as LiveKit's error event: recoverable, since others follow."""
        if event.failure is None:
            return
        message = f"connection {event.connection}: {event.failure}"
        self._llm.emit(
            "error",
            llm.LLMError(
                timestamp=SystemClock().wall(),
                label=self._llm.label,
                error=api_error(message, [event.failure]),
                recoverable=True,
            ),
        )

    def reply_ended(self, event: ReplyEvent) -> None:
        """Keeps the facts; LiveKit computes its own metrics from the chunks."""
        self._ended = event


_NO_ROUTE: dict[str, Any] = {
    "reply_id": "",
    "connection": "",
    "model": "",
    "first_word_ms": None,
    "first_word_from": "",
    "took_over_from": [],
    "last_resort": True,
}
"""The route of a reply for which the router could not even be asked."""


def _raised(request: ChatRequest | Exception) -> ChatRequest:
    if isinstance(request, Exception):
        raise request
    return request


def _chose_silence(event: ReplyEvent) -> bool:
    """Returns whether LLM objects of the program's own were asked, and none had anything to say.

    LiveKit takes such a turn for a silent one. A server's empty reply is a failure.
    """
    failures = [failure for _, failure in event.failures]
    return bool(failures) and all(failure == SAID_NOTHING for failure in failures)


def _what_failed(event: ReplyEvent) -> str:
    reasons = [(name, str(failure)) for name, failure in event.failures]
    return str(ReplyFailedError([*reasons, *event.unasked]))


def _first_speaker(event: ReplyEvent) -> str:
    """Returns the connection that gave the first word: another one may have gone on after it."""
    return next((each.connection for each in event.tries if each.delivered), event.connection)


def _route(event: ReplyEvent) -> dict[str, Any]:
    """Returns the route for a page to show under an answer; JSON, as part of the message."""
    first = event.first_word
    return {
        "reply_id": event.reply_id,
        "connection": event.connection,
        "model": event.model,
        "first_word_ms": None if first is None else round(first * 1000),
        "first_word_from": _first_speaker(event),
        "took_over_from": list(event.took_over_from),
        "last_resort": event.last_resort,
    }
