"""RouterLLM: the router as LiveKit's `llm.LLM`."""

import asyncio
import dataclasses
import logging
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any, ClassVar

from livekit.agents import APIConnectionError, APIConnectOptions, llm, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.types import ChatRequest, Chunk

_logger = logging.getLogger("llm_router")

ROUTE = "patchbay"
"""The key under which a reply's route stands in the `extra` of LiveKit's messages and chunks."""


class RouterLLM(llm.LLM[Any]):
    """What an AgentSession talks to; one for each call.

    `model` and `provider` name the connection that answered last. LiveKit's own retries are off:
    the router has already asked everyone, and a retry would say words twice. Nothing that goes
    wrong is raised into the voice pipeline, where it would be silence. Closing this leaves the
    router open, unless it was given unopened.
    """

    def __init__(
        self,
        router: Router | AbstractAsyncContextManager[Router],
        *,
        session_id: str = "",
        language: str = "en",
    ) -> None:
        super().__init__()
        self._router, self._session_id, self._language = router, session_id, language
        self._own, self._opening = AsyncExitStack(), asyncio.Lock()
        self._model, self._connection = "", "patchbay"

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
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002  servers differ; left to them
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002  meant for one vendor; a connection's extra_body is the place
    ) -> llm.LLMStream:
        messages, _ = chat_ctx.to_provider_format("openai")
        schemas = []
        if tools:  # to look for tools where there are none costs a fifth of what a turn adds
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
        """As it was given. One that was given unopened is to be had from `opened`."""
        if not isinstance(self._router, Router):
            raise RuntimeError("this router is opened when it is first asked")  # noqa: TRY004  not a caller's mistake of type
        return self._router

    async def opened(self) -> Router:
        """The router. One that is still to be opened is, and is then this object's own."""
        if isinstance(self._router, Router):
            return self._router
        async with self._opening:
            if not isinstance(self._router, Router):
                self._router = await self._own.enter_async_context(self._router)
            return self._router

    async def aclose(self) -> None:
        await super().aclose()
        await self._own.aclose()

    def answered_by(self, event: ReplyEvent) -> None:
        self._model, self._connection = event.model, event.connection or "patchbay"


class _RouterStream(llm.LLMStream):
    # The attempts have spans of their own; LiveKit's "attempt" would be one around all of them.
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
        # The base starts its tasks at once, so our own fields come first.
        self._router_llm, self._request = router_llm, request
        self._id = utils.shortuuid("reply_")
        super().__init__(router_llm, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._retry_on_chunk_sent = False

    async def _run(self) -> None:
        router: Router | None = None
        given, told_of = "", None
        try:
            router = await self._router_llm.opened()
            async with aclosing(router.stream(self._request, observers=[self])) as reply:
                async for chunk in reply:
                    given += chunk.text
                    extra = None
                    if chunk.useful and chunk.connection != told_of:
                        told_of = chunk.connection
                        extra = {ROUTE: _route(reply.event)}
                        self._router_llm.answered_by(reply.event)
                    self._send(chunk, extra)
        except Exception:  # a fault of our own must not be heard as silence either
            _logger.exception("the router failed; the caller is asked to say it again")
            phrases = router.phrases if router else Phrases()
            language = self._request.language
            said = phrases.closing(given, language) if given else phrases.pick("sorry", language, 0)
            self._send(Chunk(text=said, finish_reason="stop"), None)

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

    # ── Observer: what went wrong on the way, as LiveKit's listeners expect to be told ───────────

    def attempt_ended(self, event: AttemptEvent) -> None:
        if event.failure is None:
            return
        error = APIConnectionError(f"connection {event.connection}: {event.failure}")
        # Recoverable always: even the last resort has answered, and the call goes on.
        self._llm.emit(
            "error",
            llm.LLMError(
                timestamp=time.time(), label=self._llm.label, error=error, recoverable=True
            ),
        )

    def reply_ended(self, event: ReplyEvent) -> None:
        """Nothing to add: LiveKit's own metrics follow from the chunks."""


def _route(event: ReplyEvent) -> dict[str, Any]:
    """What a page shows under an answer; JSON, since it becomes part of the message."""
    first = event.first_word
    return {
        "connection": event.connection,
        "model": event.model,
        "first_word_ms": None if first is None else round(first * 1000),
        "took_over_from": list(event.took_over_from),
        "last_resort": event.last_resort,
    }
