"""`RouterLLM`: LiveKit's `llm.LLM` over a router."""

import asyncio
import dataclasses
import logging
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any, ClassVar

from livekit.agents import APIConnectionError, APIConnectOptions, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from llm_router.clock import SystemClock
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.types import ChatRequest, Chunk

_logger = logging.getLogger("llm_router")

ROUTE = "patchbay"
"""Key of a reply's route in the `extra` of LiveKit's messages and chunks."""


class RouterLLM(llm.LLM[Any]):
    """The language model of one call's AgentSession, answered by a router.

    `model` and `provider` name the connection that answered last. LiveKit's own retries are off:
    the router has already tried every endpoint, and a retry would speak words twice. No error is
    raised into the voice pipeline, where it would be silence: a phrase is spoken instead.

    `router` is a router that is open, and stays so when this is closed; or a context manager that
    is entered on first use and left on close.
    """

    def __init__(
        self,
        router: Router | AbstractAsyncContextManager[Router],
        *,
        session_id: str = "",
        language: str = "en",
    ) -> None:
        super().__init__()
        self._router = router
        self._session_id = session_id
        self._language = language
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._model = ""
        self._connection = "patchbay"

    @property
    def model(self) -> str:
        return self._model or "router"

    @property
    def provider(self) -> str:
        return self._connection

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002  LiveKit's signature; servers differ, and each uses its own default
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002  LiveKit's signature; a connection's extra_body serves each vendor's own fields
    ) -> llm.LLMStream:
        messages, _ = chat_ctx.to_provider_format("openai")
        schemas = []
        if tools:  # parsing an empty list costs a fifth of the router's overhead in a turn
            schemas = llm.ToolContext(tools).parse_function_tools("openai", strict=False)
        request = ChatRequest(
            messages=messages,
            tools=schemas,
            tool_choice=tool_choice if utils.is_given(tool_choice) else None,
            speech=True,
            language=self._language,
            session_id=self._session_id,
            integration="livekit",
            livekit_context=chat_ctx,
            livekit_tools=tools or [],
        )
        return _RouterStream(
            self,
            request,
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=dataclasses.replace(conn_options, max_retry=0),
        )

    async def _prewarm_impl(self) -> None:
        await (await self.opened()).warm()

    @property
    def router(self) -> Router:
        """The router. Raises RuntimeError while a context manager is not entered; see `opened`."""
        if not isinstance(self._router, Router):
            raise RuntimeError("this router opens on its first request; await opened()")  # noqa: TRY004  not an error of the caller's types
        return self._router

    async def opened(self) -> Router:
        """Returns the router, and enters its context manager first where that is still to do."""
        if isinstance(self._router, Router):
            return self._router
        async with self._opening:
            if not isinstance(self._router, Router):
                self._router = await self._stack.enter_async_context(self._router)
            return self._router

    async def aclose(self) -> None:
        await super().aclose()
        await self._stack.aclose()

    def note_answer(self, event: ReplyEvent) -> None:
        """Remembers the connection that answered, for `model` and `provider`."""
        self._model = event.model
        self._connection = event.connection or "patchbay"


class _RouterStream(llm.LLMStream):
    # Each attempt has a span of its own; LiveKit's attempt span would enclose all of them.
    _llm_attempt_span_name: ClassVar[str | None] = None

    def __init__(
        self,
        router_llm: RouterLLM,
        request: ChatRequest,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        # The base class starts its tasks at once, so these fields are set before.
        self._router_llm = router_llm
        self._request = request
        self._id = utils.shortuuid("reply_")
        super().__init__(router_llm, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._retry_on_chunk_sent = False

    async def _run(self) -> None:
        router: Router | None = None
        spoken = ""
        route_sent_for = None
        try:
            router = await self._router_llm.opened()
            async with aclosing(router.stream(self._request, observers=[self])) as reply:
                async for chunk in reply:
                    spoken += chunk.text
                    extra = None
                    if chunk.useful and chunk.connection != route_sent_for:
                        route_sent_for = chunk.connection
                        extra = {ROUTE: _route(reply.event)}
                        self._router_llm.note_answer(reply.event)
                    self._send(chunk, extra)
        except Exception:  # a bug of the router must not become silence in the call either
            _logger.exception("the router failed; the caller is asked to repeat the question")
            phrases = router.phrases if router else Phrases()
            language = self._request.language
            text = (
                phrases.closing(spoken, language) if spoken else phrases.pick("sorry", language, 0)
            )
            self._send(Chunk(text=text, finish_reason="stop"), None)

    def _send(self, chunk: Chunk, extra: dict[str, Any] | None) -> None:
        usage = None
        if chunk.usage:
            usage = llm.CompletionUsage(
                completion_tokens=chunk.usage.completion_tokens,
                prompt_tokens=chunk.usage.prompt_tokens,
                prompt_cached_tokens=chunk.usage.cached_tokens,
                total_tokens=chunk.usage.completion_tokens + chunk.usage.prompt_tokens,
            )
        delta = None
        if chunk.text or chunk.tool_calls or extra:
            calls = [
                llm.FunctionToolCall(name=call.name, arguments=call.arguments, call_id=call.id)
                for call in chunk.tool_calls
            ]
            delta = llm.ChoiceDelta(
                role="assistant", content=chunk.text or None, tool_calls=calls, extra=extra
            )
        if delta or usage:
            self._event_ch.send_nowait(llm.ChatChunk(id=self._id, delta=delta, usage=usage))

    # ── Observer: emits failed attempts as LiveKit's error events ────────────────────────────────

    def attempt_ended(self, event: AttemptEvent) -> None:
        if event.failure is None:
            return
        error = APIConnectionError(f"connection {event.connection}: {event.failure}")
        # Always recoverable: at worst the last resort answers, and the call continues.
        self._llm.emit(
            "error",
            llm.LLMError(
                timestamp=SystemClock().wall(), label=self._llm.label, error=error, recoverable=True
            ),
        )

    def reply_ended(self, event: ReplyEvent) -> None:
        """Does nothing: LiveKit computes its own metrics from the chunks."""


def _route(event: ReplyEvent) -> dict[str, Any]:
    """Returns the route for a page to show under an answer; JSON, as part of the message."""
    first = event.first_word
    return {
        "connection": event.connection,
        "model": event.model,
        "first_word_ms": None if first is None else round(first * 1000),
        "took_over_from": list(event.took_over_from),
        "last_resort": event.last_resort,
    }
