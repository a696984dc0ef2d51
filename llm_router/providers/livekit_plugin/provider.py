"""Adapts any LiveKit `llm.LLM` as a provider: a plugin named by the connection, or an object.

LiveKit's LLMs retry, report no finish reason and raise errors of their own. The provider sends each
request once and translates replies and errors into the router's types.
"""

import inspect
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

import httpx2
from livekit.agents import APIConnectOptions, APIError, llm
from livekit.agents.types import NOT_GIVEN

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    ConfigurationError,
    UnreachableError,
)
from llm_router.net.bodies import ASK_FOR_PLAIN, check_encoding
from llm_router.net.environment import raise_environment_fault
from llm_router.net.guard import AddressGuard
from llm_router.providers._wire.ending import finish_reason, is_failure, kind_of
from llm_router.providers._wire.extras import origin_of
from llm_router.providers._wire.json_objects import DONE
from llm_router.providers._wire.lost_opening import LostOpening
from llm_router.providers.base import Provider
from llm_router.providers.livekit_plugin.chat import chat_context, tools, with_tools
from llm_router.providers.livekit_plugin.errors import (
    empty_reply_reason,
    from_livekit,
    from_vendor,
    restore_cause,
    transport_error,
)
from llm_router.providers.livekit_plugin.plugins import (
    Plugin,
    can_continue,
    load,
    plugin_name,
    row_of,
)
from llm_router.providers.livekit_plugin.reply import EventParser
from llm_router.providers.livekit_plugin.unavailable import UnavailableProvider
from llm_router.types import ChatRequest, Chunk

_logger = logging.getLogger("llm_router")

_Continuation = Literal["words", "trailing"]

_REPLY_TIMEOUT = 60.0  # s
_MAX_TOKENS_SPELLINGS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> Provider:
    """Constructs the LLM of `livekit.plugins.<connection.server>` from the connection's fields.

    Without `server` the `connection_type` selects the plugin. Raises ConfigurationError when the
    plugin is not installed, refuses its arguments, or has no argument for a field that is set: no
    field is dropped silently.
    """
    if guard and not guard.allow_private and (connection.base_url or not connection.api_key):
        raise AddressRefusedError(
            f"connection {connection.name!r}: a LiveKit plugin connects by itself, so this router"
            " cannot check where its address leads, and without a key it uses this machine's;"
            " an administrator can use it"
        )
    row, llm_class = load(connection)
    usual = "trailing" if can_continue(row, connection.model_name) else "words"
    match connection.continuation or usual:
        case "words" | "trailing" as continuation:
            try:
                model = _construct(connection, row, llm_class)
            except UnreachableError as fault:
                return UnavailableProvider(fault)
            return LiveKitProvider(
                model,
                row,
                continuation=continuation,
                timeout=connection.timeout,
                owned=True,
            )
    raise ConfigurationError(
        f"connection {connection.name!r}: a LiveKit plugin does not support the continuation "
        f'{connection.continuation!r}; use "words" or "trailing"'
    )


def from_llm(
    model: llm.LLM[Any], *, continuation: _Continuation = "words", timeout: float = _REPLY_TIMEOUT
) -> "LiveKitProvider":
    """Returns a provider over an LLM object, which the caller closes; the provider does not.

    `timeout` (s) is passed to the LLM; most plugins apply it to a single read. `continuation` is
    "trailing" if the model continues a last assistant message, else "words".
    """
    row = row_of(type(model))
    return LiveKitProvider(model, row, continuation=continuation, timeout=timeout, owned=False)


class LiveKitProvider:
    """Implements Provider and Limited (`base.py`); drops the options that the plugin lacks."""

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
        self.lacks = frozenset() if "response_format" in row.options else frozenset({"json"})
        self._llm = model
        self._origin = origin_of(model.model, model.provider)
        self._lost_opening = LostOpening()
        self._row = row
        self._owned = owned
        self._options = APIConnectOptions(max_retry=0, timeout=timeout)
        model.on("error", restore_cause)

    async def warm(self) -> None:
        self._llm.prewarm()
        if self._row.warm:
            with suppress(Exception):  # the first request reports what is wrong
                await self._row.warm(self._llm)

    async def probe(self) -> None:
        """Sends the plugin's token-free request; a plugin without one counts as healthy."""
        try:
            await self._llm._prewarm_impl()  # noqa: SLF001  LiveKit's only cheap question, and `prewarm` swallows its answer
        except Exception as error:  # noqa: BLE001  each vendor's library raises errors of its own
            raise from_vendor(error) from None

    async def models(self) -> Sequence[str]:
        """Returns the vendor's models, or only the configured one if the plugin lists none."""
        if not self._row.lists_models:
            return (self._llm.model,)
        try:
            listing = cast("Any", self._llm)._client.models.list()  # noqa: SLF001  of the vendor's library
            return [model.id async for model in listing]
        except Exception as error:  # noqa: BLE001  each vendor's library raises errors of its own
            raise from_vendor(error) from None

    async def aclose(self) -> None:
        if self._owned:
            await self._llm.aclose()
            if self._row.close:
                await self._row.close(self._llm)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        with self._lost_opening.filter(with_tools(request)) as text:
            parser = EventParser(request, self._origin, text)
            stream: llm.LLMStream | None = None
            try:
                stream = self._start(request)
                ending = _FinishReason(stream, self._row)
                async for event in stream:
                    yield parser.feed(event)
            except APIError as error:
                if not (parser.useful and ending.is_whole):
                    if parser.useful or (reason := empty_reply_reason(error)) is None:
                        raise from_livekit(error, begun=parser.begun) from None
                    yield Chunk(finish_reason=reason)
                    return
                _note(error)
            except OSError as error:  # timeouts included; some plugins do not translate them
                if not (parser.useful and ending.is_whole):
                    raise transport_error(type(error).__name__, begun=parser.begun) from None
                _note(error)
            finally:
                if stream is not None:
                    await stream.aclose()
            if not parser.begun and self._row.observe_finish:
                raise BrokenStreamError("the answer ended before it began")
            if not parser.begun and not self._owned:
                return  # an object of a program's own that has nothing to say
            last = parser.close()
            yield last._replace(
                finish_reason=ending.reason(useful=parser.useful, called=parser.called)
            )

    def _start(self, request: ChatRequest) -> llm.LLMStream:
        row = self._row
        options = _options_of(request, row)
        nested = row.options_argument and options
        extra: Any = {row.options_argument: options} if nested else options
        continues = self.continuation == "trailing" and bool(request.prefix.strip())
        context = chat_context(
            request,
            request.prefix.rstrip() if continues else "",
            origin=self._origin,
            call_id=row.call_id,
            ends_with_user=row.ends_with_user and not continues,
        )
        if row.prepare:
            row.prepare(self._llm, context)
        choice = request.tool_choice
        parallel = request.parallel_tool_calls
        stream = self._llm.chat(
            chat_ctx=context,
            tools=tools(request),
            conn_options=self._options,
            parallel_tool_calls=NOT_GIVEN if parallel is None else parallel,
            tool_choice=NOT_GIVEN if choice is None else cast("llm.ToolChoice", choice),
            extra_kwargs=NOT_GIVEN if row.set_options or not extra else extra,
        )
        _within_one_request(stream)
        if row.set_options:
            row.set_options(stream, options)
        return stream


def _within_one_request(stream: llm.LLMStream) -> None:
    """Makes the stream's span an attempt of the router's request, before the span is opened.

    By itself it would be a request of its own, and its tokens would be counted twice.
    """
    untyped: Any = stream
    if stream._llm_request_span_name == llm.LLMStream._llm_request_span_name:  # noqa: SLF001  class variables of LiveKit's, without an argument to set them
        untyped._llm_request_span_name = llm.LLMStream._llm_attempt_span_name  # noqa: SLF001  the same
        untyped._llm_attempt_span_name = None  # noqa: SLF001  the same
    untyped._genai_operation_name = None  # noqa: SLF001  the same


class _FinishReason:
    """Records the finish reason that the plugin reads: LiveKit's chunks hold none."""

    def __init__(self, stream: llm.LLMStream, row: Plugin) -> None:
        self._stream = stream
        self._observed = ""
        self._is_done = False
        self._is_observed = row.observe_finish is not None
        if row.observe_finish:
            row.observe_finish(stream, self._on_finish)

    def _on_finish(self, reason: str | None) -> None:
        if reason == DONE:
            self._is_done = True
        elif reason and kind_of(reason):
            self._observed = reason

    @property
    def is_whole(self) -> bool:
        """Whether the reason, or the announced end, says that the reply so far is whole."""
        return not is_failure(self._observed) if self._observed else self._is_done

    def reason(self, *, useful: bool, called: bool) -> str:
        """Returns the reason under OpenAI's name.

        `useful`: the reply held words or a call; `called`: it held a call.
        Raises BrokenStreamError for a reply that was cut off and for a tool call that was lost,
        StatusError for a reason that means a failure.
        """
        if self._is_observed and not (self._observed or (self._is_done and useful)):
            raise BrokenStreamError("the answer ended without a finish reason")
        reason = finish_reason(self._observed) or "stop"
        if getattr(self._stream, "_tool_call_id", None) or (reason == "tool_calls" and not called):
            raise BrokenStreamError(f"the answer ended inside a tool call ({reason})")
        return "tool_calls" if called else reason


def _note(error: Exception) -> None:
    _logger.debug("after a whole answer: %s", type(error).__name__)


def _options_of(request: ChatRequest, row: Plugin) -> dict[str, Any]:
    """Returns the options that the request sets, under the plugin's names."""
    values = {name: getattr(request, name) for name in row.options}
    values["stop"] = list(request.stop) or None
    return {row.options[n]: v for n, v in values.items() if n in row.options and v is not None}


def _construct(connection: Connection, row: Plugin, llm_class: type[llm.LLM[Any]]) -> llm.LLM[Any]:
    accepted = inspect.signature(llm_class.__init__).parameters
    options = _arguments(connection, row, accepted)
    try:
        model = llm_class(**options)
    except Exception as error:  # noqa: BLE001  each plugin raises errors of its own
        raise_environment_fault(connection.base_url)
        reason = f"{type(error).__name__}: {error}"
        if connection.api_key:
            reason = reason.replace(connection.api_key, "...")
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {plugin_name(connection)!r}: {reason}"
        ) from None
    _set_hooks(model)
    return model


def _set_hooks(model: llm.LLM[Any]) -> None:
    """Keeps room, job and agent private, which LiveKit sends to every OpenAI-compatible server, and
    answers plain: a vendor's library would decode a compressed one at once, however large.
    """
    http = getattr(getattr(model, "_client", None), "_client", None)
    if isinstance(http, httpx2.AsyncClient):
        hooks = http.event_hooks
        http.event_hooks = {
            "request": [*hooks["request"], _without_livekit, _ask_for_plain],
            "response": [*hooks["response"], _refuse_compressed],
        }


async def _without_livekit(request: httpx2.Request) -> None:
    for name in [name for name in request.headers if name.lower().startswith("x-livekit-")]:
        del request.headers[name]


async def _ask_for_plain(request: httpx2.Request) -> None:
    request.headers.update(ASK_FOR_PLAIN)


async def _refuse_compressed(response: httpx2.Response) -> None:
    if check_encoding(response):
        raise httpx2.DecodingError("the answer is compressed, which was not asked for")


def _arguments(connection: Connection, row: Plugin, accepted: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the constructor's arguments.

    Raises ConfigurationError for a field that is set and for which it has no argument.
    """
    limit = next((n for n in _MAX_TOKENS_SPELLINGS if n in accepted), _MAX_TOKENS_SPELLINGS[0])
    arguments = {
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
    options = {name: value for name, value in arguments.items() if value is not None}
    if refused := sorted(options.keys() - accepted.keys()):
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {plugin_name(connection)!r} takes no "
            f"{', '.join(refused)}; leave it out"
        )
    if "max_retries" in accepted:
        options["max_retries"] = 0
    if "_strict_tool_schema" in accepted:
        options["_strict_tool_schema"] = False  # older models and other servers answer 400 to it
    return options
