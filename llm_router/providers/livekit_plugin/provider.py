"""Any LiveKit `llm.LLM` as a provider: a plugin named by the connection, or an object one has.

LiveKit's LLMs retry, speak of no finish reason and raise their own errors; here each is asked once,
and its answers and errors are put into the router's words.
"""

import inspect
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, cast
from uuid import uuid4

import httpx2
from livekit.agents import APIConnectOptions, APIError, llm
from livekit.agents.types import NOT_GIVEN

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    ConfigurationError,
)
from llm_router.net.guard import AddressGuard
from llm_router.providers.livekit_plugin.chat import chat_context, tools
from llm_router.providers.livekit_plugin.errors import (
    finished_with_nothing,
    in_our_words,
    keep_cause,
    of_vendor,
    transport_error,
)
from llm_router.providers.livekit_plugin.plugins import Plugin, goes_on, load, name_of
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

_Continuation = Literal["words", "trailing"]

_REPLY_TIMEOUT = 60.0
_MAX_TOKENS_SPELLINGS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
"""Vendors' reasons for the end of an answer, in OpenAI's words."""


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "LiveKitProvider":
    """The LLM of `livekit.plugins.<connection.server>`, made from the connection's fields; without
    `server`, the one of its `connection_type`.

    Raises ConfigurationError when the plugin is not installed, refuses its arguments, or has no
    argument for a field that is set: nothing is dropped silently.
    """
    if guard and not guard.allow_private and (connection.base_url or not connection.api_key):
        raise AddressRefusedError(
            f"connection {connection.name!r}: a LiveKit plugin dials by itself, past any check of"
            " where its address leads, and without a key uses this machine's; an administrator"
            " can ask it"
        )
    row, made_of = load(connection)
    usual = "trailing" if goes_on(row, connection.model_name) else "words"
    match connection.continuation or usual:
        case "words" | "trailing" as continuation:
            return LiveKitProvider(
                _construct(connection, row, made_of),
                row,
                continuation=continuation,
                timeout=connection.timeout,
                owned=True,
            )
    raise ConfigurationError(
        f"connection {connection.name!r}: continuation {connection.continuation!r} cannot be "
        'asked for through a LiveKit plugin; use "words" or "trailing"'
    )


def from_llm(
    model: llm.LLM[Any], *, continuation: _Continuation = "words", timeout: float = _REPLY_TIMEOUT
) -> "LiveKitProvider":
    """A provider that asks an LLM of yours. You close the LLM; the provider does not.

    `timeout`: seconds, handed to the LLM, most of which take it for one read. `continuation`:
    "trailing" if the model goes on with a last message of the assistant's, else "words".
    """
    return LiveKitProvider(model, Plugin(), continuation=continuation, timeout=timeout, owned=False)


class LiveKitProvider:
    """A request's options are passed on as far as the plugin has words for them."""

    def __init__(
        self,
        model: llm.LLM[Any],
        row: Plugin,
        *,
        continuation: _Continuation,
        timeout: float,
        owned: bool,
    ) -> None:
        self.continuation: Continuation = continuation
        self.last_resort = False
        self._llm, self._row, self._owned = model, row, owned
        self._options = APIConnectOptions(max_retry=0, timeout=timeout)
        model.on("error", keep_cause)

    async def warm(self) -> None:
        self._llm.prewarm()
        if self._row.warm:
            with suppress(Exception):  # what is wrong shows when it is asked
                await self._row.warm(self._llm)

    async def probe(self) -> None:
        """A plugin's own token-free request; one that has none is taken to be well."""
        try:
            await self._llm._prewarm_impl()  # noqa: SLF001  LiveKit's only cheap question, and `prewarm` swallows its answer
        except Exception as error:  # noqa: BLE001  each vendor's library raises errors of its own
            raise of_vendor(error) from None

    async def models(self) -> Sequence[str]:
        """Where a plugin cannot list any, the one it asks."""
        if not self._row.lists:
            return (self._llm.model,)
        try:
            listing = cast("Any", self._llm)._client.models.list()  # noqa: SLF001  of the vendor's library
            return [model.id async for model in listing]
        except Exception as error:  # noqa: BLE001  each vendor's library raises errors of its own
            raise of_vendor(error) from None

    async def aclose(self) -> None:
        if self._owned:
            await self._llm.aclose()
            if self._row.close:
                await self._row.close(self._llm)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        calls = _CallIds(request)
        begun = useful = called = False
        stream: llm.LLMStream | None = None
        try:
            stream = self._ask(request)
            ending = _Ending(stream, self._row)
            async for event in stream:
                begun = True
                chunk = _chunk(event, calls)
                useful, called = useful or chunk.useful, called or bool(chunk.tool_calls)
                yield chunk
        except APIError as error:
            if useful or (reason := finished_with_nothing(error)) is None:
                raise in_our_words(error, begun=begun) from None
            yield Chunk(finish_reason=reason)
            return
        except OSError as error:  # timeouts included; some plugins let them through
            raise transport_error(type(error).__name__, begun=begun) from None
        finally:
            if stream is not None:
                await stream.aclose()
        if not begun:
            raise BrokenStreamError("the answer ended before it began")
        yield Chunk(finish_reason=ending.reason(called=called))

    def _ask(self, request: ChatRequest) -> llm.LLMStream:
        row, given = self._row, _options_of(request, self._row)
        extra: Any = {row.nested: given} if row.nested and given else given
        going_on = self.continuation == "trailing" and bool(request.prefix.strip())
        context = chat_context(
            request,
            request.prefix.rstrip() if going_on else "",
            call_id=row.call_id,
            ends_with_user=row.ends_with_user and not going_on,
        )
        if row.prepare:
            row.prepare(self._llm, context)
        choice = request.tool_choice
        stream = self._llm.chat(
            chat_ctx=context,
            tools=tools(request),
            conn_options=self._options,
            tool_choice=NOT_GIVEN if choice is None else cast("llm.ToolChoice", choice),
            extra_kwargs=NOT_GIVEN if row.ask or not extra else extra,
        )
        if row.ask:
            row.ask(stream, given)
        return stream


class _Ending:
    """How an answer ends, overheard where its plugin reads it: LiveKit's chunks do not say."""

    def __init__(self, stream: llm.LLMStream, row: Plugin) -> None:
        self._stream, self._told = stream, ""
        self._is_heard = row.listen is not None
        if row.listen:
            row.listen(stream, self._tell)

    def _tell(self, reason: str | None) -> None:
        self._told = reason or self._told

    def reason(self, *, called: bool) -> str:
        """Raises BrokenStreamError for an answer that was cut off, or a call that got lost."""
        if self._is_heard and not self._told:
            raise BrokenStreamError("the answer ended without a finish reason")
        reason = _FINISH.get(self._told, self._told) or "stop"
        if getattr(self._stream, "_tool_call_id", None) or (reason == "tool_calls" and not called):
            raise BrokenStreamError(f"the answer ended inside a tool call ({self._told})")
        return "tool_calls" if called else reason


def _options_of(request: ChatRequest, row: Plugin) -> dict[str, Any]:
    asked = {name: getattr(request, name) for name in row.options}
    asked["stop"] = list(request.stop) or None
    return {row.options[n]: v for n, v in asked.items() if n in row.options and v is not None}


class _CallIds:
    """Gives every tool call an id that the conversation does not know yet."""

    def __init__(self, request: ChatRequest) -> None:
        self._known_ids = {c["id"] for m in request.messages for c in m.get("tool_calls") or ()}
        if isinstance(request.livekit_context, llm.ChatContext):
            items = request.livekit_context.items
            self._known_ids |= {i.call_id for i in items if isinstance(i, llm.FunctionCall)}

    def fresh(self, given: str) -> str:
        # Kept where it can be: some plugins know their own calls again by it.
        fresh = given if given and given not in self._known_ids else f"call_{uuid4().hex}"
        self._known_ids.add(fresh)
        return fresh


def _chunk(event: llm.ChatChunk, ids: _CallIds) -> Chunk:
    delta, usage = event.delta, event.usage
    return Chunk(
        text=(delta.content or "") if delta else "",
        tool_calls=tuple(_call(call, ids) for call in delta.tool_calls) if delta else (),
        usage=Usage(usage.prompt_tokens, usage.completion_tokens, usage.prompt_cached_tokens)
        if usage
        else None,
    )


def _call(call: llm.FunctionToolCall, ids: _CallIds) -> ToolCall:
    arguments = call.arguments or "{}"
    try:
        whole = isinstance(json.loads(arguments), dict)
    except ValueError:
        whole = False
    if not whole:
        raise BrokenStreamError(f"a call of {call.name} with arguments that are no JSON object")
    return ToolCall(ids.fresh(call.call_id), call.name, arguments)


def _construct(connection: Connection, row: Plugin, made_of: type[llm.LLM[Any]]) -> llm.LLM[Any]:
    accepted = inspect.signature(made_of.__init__).parameters
    options = _arguments(connection, row, accepted)
    try:
        made = made_of(**options)
    except Exception as error:  # noqa: BLE001  each plugin objects in its own way
        reason = f"{type(error).__name__}: {error}"
        if connection.api_key:
            reason = reason.replace(connection.api_key, "...")
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {name_of(connection)!r}: {reason}"
        ) from None
    _keep_rooms_private(made)
    return made


def _keep_rooms_private(made: llm.LLM[Any]) -> None:
    """LiveKit tells every server that speaks OpenAI's wire which room, job and agent asks."""
    http = getattr(getattr(made, "_client", None), "_client", None)
    if isinstance(http, httpx2.AsyncClient):
        hooks = http.event_hooks
        http.event_hooks = {**hooks, "request": [*hooks["request"], _without_livekit]}


async def _without_livekit(request: httpx2.Request) -> None:
    for name in [name for name in request.headers if name.lower().startswith("x-livekit-")]:
        del request.headers[name]


def _arguments(connection: Connection, row: Plugin, accepted: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments; raises ConfigurationError for a set field it cannot take."""
    limit = next((n for n in _MAX_TOKENS_SPELLINGS if n in accepted), _MAX_TOKENS_SPELLINGS[0])
    given = {
        "model": connection.model_name or None,
        "api_key": connection.api_key,
        "base_url": connection.base_url or None,
        "temperature": connection.temperature,
        "top_p": connection.top_p,
        limit: connection.max_tokens,
        "extra_headers": dict(connection.headers) or None,
        "extra_body": dict(connection.extra_body) or None,
        **row.construct(connection),
    }
    options = {name: value for name, value in given.items() if value is not None}
    if refused := sorted(options.keys() - accepted.keys()):
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {name_of(connection)!r} takes no "
            f"{', '.join(refused)}; leave it out"
        )
    if "max_retries" in accepted:
        options["max_retries"] = 0
    if "_strict_tool_schema" in accepted:
        options["_strict_tool_schema"] = False  # older models and other servers answer it with 400
    return options
