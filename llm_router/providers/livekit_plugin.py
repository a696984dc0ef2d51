"""Any LiveKit `llm.LLM` as a provider: a plugin named by the connection, or an object one has.

LiveKit's LLMs retry, speak of no finish reason and raise their own errors; here each is asked once,
and its answers and errors are put into the router's words.
"""

import importlib
import inspect
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal, cast
from uuid import uuid4

from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    llm,
)
from livekit.agents.types import NOT_GIVEN

from llm_router.clock import Clock
from llm_router.connections import Connection, Continuation
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    ConfigurationError,
    UnreachableError,
    UpstreamError,
)
from llm_router.guard import AddressGuard
from llm_router.providers._livekit_chat import chat_context, tools
from llm_router.providers._reply import status_error
from llm_router.types import ChatRequest, Chunk, ToolCall, Usage

_Continuation = Literal["words", "trailing"]

_REPLY_TIMEOUT = 60.0
_MAX_TOKENS_SPELLINGS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "LiveKitProvider":
    """The LLM of `livekit.plugins.<connection.server>`, made from the connection's fields.

    Raises ConfigurationError when the plugin is not installed, refuses its arguments, or has no
    argument for a field that is set: nothing is dropped silently.
    """
    if guard and connection.base_url and not guard.allow_private:
        raise AddressRefusedError(
            f"connection {connection.name!r}: a LiveKit plugin dials by itself, past any check of"
            " where its address leads; an administrator can ask it"
        )
    match connection.continuation or "words":
        case "words" | "trailing" as continuation:
            return LiveKitProvider(
                _construct(connection),
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
    return LiveKitProvider(model, continuation=continuation, timeout=timeout, owned=False)


class LiveKitProvider:
    """A request's temperature and top_p are passed on; other sampling options are the LLM's own,
    since every plugin spells them differently.
    """

    def __init__(
        self, model: llm.LLM[Any], *, continuation: _Continuation, timeout: float, owned: bool
    ) -> None:
        self.continuation: Continuation = continuation
        self.last_resort = False
        self._llm, self._owned = model, owned
        self._options = APIConnectOptions(max_retry=0, timeout=timeout)
        model.on("error", _keep_cause)

    async def warm(self) -> None:
        self._llm.prewarm()

    async def probe(self) -> None:
        """A plugin's own token-free request; one that has none is taken to be well."""
        try:
            await self._llm._prewarm_impl()  # noqa: SLF001  LiveKit's only cheap question, and `prewarm` swallows its answer
        except Exception as error:  # noqa: BLE001  each vendor's library raises errors of its own
            raise UnreachableError(f"{self._llm.label} ({type(error).__name__})") from None

    async def models(self) -> Sequence[str]:
        return (self._llm.model,)

    async def aclose(self) -> None:
        if self._owned:
            await self._llm.aclose()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        calls = _CallIds(request)
        begun = called = False
        stream: llm.LLMStream | None = None
        try:
            stream = self._ask(request)
            async for event in stream:
                begun = True
                chunk = _chunk(event, calls)
                called = called or bool(chunk.tool_calls)
                yield chunk
        except APIError as error:
            raise _in_our_words(error, begun=begun) from None
        except OSError as error:  # timeouts included; some plugins let them through
            raise _transport_error(type(error).__name__, begun=begun) from None
        finally:
            if stream is not None:
                await stream.aclose()
        if not begun:
            raise BrokenStreamError("the answer ended before it began")
        yield Chunk(finish_reason="tool_calls" if called else "stop")

    def _ask(self, request: ChatRequest) -> llm.LLMStream:
        sampling = {"temperature": request.temperature, "top_p": request.top_p}
        sampling = {name: value for name, value in sampling.items() if value is not None}
        prefix = request.prefix.rstrip() if self.continuation == "trailing" else ""
        choice = request.tool_choice
        return self._llm.chat(
            chat_ctx=chat_context(request, prefix),
            tools=tools(request),
            conn_options=self._options,
            tool_choice=NOT_GIVEN if choice is None else cast("llm.ToolChoice", choice),
            extra_kwargs=sampling or NOT_GIVEN,
        )


class _CallIds:
    """Gives every tool call an id that the conversation does not know yet."""

    def __init__(self, request: ChatRequest) -> None:
        self._taken = {c["id"] for m in request.messages for c in m.get("tool_calls") or ()}
        if isinstance(request.livekit_context, llm.ChatContext):
            items = request.livekit_context.items
            self._taken |= {i.call_id for i in items if isinstance(i, llm.FunctionCall)}

    def fresh(self, given: str) -> str:
        # Kept where it can be: some plugins know their own calls again by it.
        fresh = given if given and given not in self._taken else f"call_{uuid4().hex}"
        self._taken.add(fresh)
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


def _in_our_words(error: APIError, *, begun: bool) -> UpstreamError:
    """No message of LiveKit's is shown: it may hold the server's, and that the caller's words."""
    cause = error.__cause__
    said = error.body if isinstance(error.body, Mapping) else getattr(cause, "body", None)
    headers = getattr(getattr(cause, "response", None), "headers", None)
    if isinstance(error, APIStatusError):
        return status_error(max(error.status_code, 0), said or error.message, headers)
    if isinstance(error, APIConnectionError) and not isinstance(said, Mapping):
        return _transport_error(type(cause or error).__name__, begun=begun)
    return status_error(0, said or error.message, headers)


def _keep_cause(event: llm.LLMError) -> None:
    """LiveKit raises an error anew and so loses the vendor's, which alone knows Retry-After."""
    event.error.__cause__ = event.error.__cause__ or event.error.__context__


def _transport_error(kind: str, *, begun: bool) -> UpstreamError:
    if begun:
        return BrokenStreamError(f"the answer broke off ({kind})")
    return UnreachableError(f"no answer ({kind})")


def _construct(connection: Connection) -> llm.LLM[Any]:
    made_of = _plugin(connection)
    accepted = inspect.signature(made_of.__init__).parameters
    options = _options(connection, accepted)
    try:
        return made_of(**options)
    except Exception as error:  # noqa: BLE001  each plugin objects in its own way
        reason = f"{type(error).__name__}: {error}"
        if connection.api_key:
            reason = reason.replace(connection.api_key, "...")
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {connection.server!r}: {reason}"
        ) from None


def _plugin(connection: Connection) -> type[llm.LLM[Any]]:
    name, who = connection.server, f"connection {connection.name!r}"
    if not name.isidentifier():
        raise ConfigurationError(
            f'{who}: server must name a LiveKit plugin, such as "anthropic" or "google"'
        )
    try:
        module = importlib.import_module(f"livekit.plugins.{name}")
    except ModuleNotFoundError as error:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        raise ConfigurationError(
            f"{who}: LiveKit plugin {name!r} needs the module {error.name}; "
            f"install it: pip install {package}"
        ) from error
    made_of = getattr(module, "LLM", None)
    if not (isinstance(made_of, type) and issubclass(made_of, llm.LLM)):
        raise ConfigurationError(f"{who}: LiveKit plugin {name!r} has no language model")
    return made_of


def _options(connection: Connection, accepted: Mapping[str, Any]) -> dict[str, Any]:
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
    }
    options = {name: value for name, value in given.items() if value is not None}
    if refused := sorted(options.keys() - accepted.keys()):
        raise ConfigurationError(
            f"connection {connection.name!r}: LiveKit plugin {connection.server!r} takes no "
            f"{', '.join(refused)}; leave it out"
        )
    if "max_retries" in accepted:
        options["max_retries"] = 0
    return options
