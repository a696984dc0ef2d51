"""Lists how each of LiveKit's plugins differs, as read in their sources, version 1.8.9.

A row says how the plugin is constructed from a connection's fields, how it takes a request's
options, and how to observe the finish reason of its replies: LiveKit's chunks hold none, so a reply
that was cut off would seem complete.
"""

import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from livekit.agents import llm

from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.providers._wire.ending import is_failure
from llm_router.providers._wire.json_objects import DONE

_OLDER_CLAUDE = r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8}|-latest|-v\d.*|$))"
"""Models that continue a last assistant message; newer ones refuse one."""
_OPENAI_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_completion_tokens",
    "stop": "stop",
    "seed": "seed",
    "response_format": "response_format",
}
_CALL_ID = r"[A-Za-z0-9_-]{1,64}"

OnFinish = Callable[[str | None], None]
"""Takes the finish reason of a reply; may be called often, with None for events without one, and
with `DONE` for an announced end."""
ObserveFinish = Callable[[Any, OnFinish], None]
"""Makes a stream that has not started call `on_finish` with each finish reason that it reads."""


def _wrap(method: str, finish_reason: Callable[..., str | None]) -> ObserveFinish:
    """Observes the arguments of the stream's `method`, which receives each event.

    `finish_reason` takes the same arguments and returns the reason, if they hold one.
    """

    def observe(stream: Any, on_finish: OnFinish) -> None:
        parse = getattr(stream, method)

        def observed(*args: Any) -> Any:
            on_finish(finish_reason(*args))
            return parse(*args)

        setattr(stream, method, observed)

    return observe


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """Describes one plugin; the defaults are for an unknown one."""

    construct: Callable[[Connection], Mapping[str, Any]] = lambda _: {}
    """Returns constructor arguments that replace the usual ones; None removes an argument."""
    options: Mapping[str, str] = field(
        default_factory=lambda: {"temperature": "temperature", "top_p": "top_p"}
    )
    """A request's options, each with the plugin's name for it."""
    set_options: Callable[[llm.LLMStream, dict[str, Any]], None] | None = None
    """Puts the options into a stream that has not started, for a plugin whose `chat` drops them."""
    options_argument: str = ""
    """The argument of `chat` that holds the options; empty: each option is an argument."""
    continues: str = r"(?!)"
    """A pattern of the models that continue a last assistant message."""
    ends_with_user: bool = False
    """Whether a history may end with an assistant message only if the model continues it."""
    call_id: str = _CALL_ID
    """A pattern of the call ids that the vendor accepts."""
    prepare: Callable[[llm.LLM[Any], llm.ChatContext], None] | None = None
    """Makes a history acceptable that holds other vendors' messages."""
    observe_finish: ObserveFinish | None = None
    """Observes the finish reason in a stream that has not started; None: it cannot be known."""
    lists_models: bool = False
    """Whether the vendor's library lists models as OpenAI's does."""
    warm: Callable[[Any], Awaitable[Any]] | None = None
    """Opens connections that the plugin's own `prewarm` does not."""
    close: Callable[[Any], Awaitable[None]] | None = None
    """Closes clients that the plugin itself leaves open."""


# ── Amazon Bedrock ───────────────────────────────────────────────────────────────────────────────


def _bedrock(connection: Connection) -> Mapping[str, Any]:
    session: Any = importlib.import_module("llm_router.providers.livekit_plugin.bedrock")
    return {
        "api_key": None,
        "base_url": None,
        "extra_body": None,
        "additional_request_fields": dict(connection.extra_body) or None,
        "session": session.Session(connection),
        "region": connection.region or "us-east-1",
    }


def _set_bedrock_options(stream: llm.LLMStream, options: dict[str, Any]) -> None:
    if not getattr(stream._llm, "_supports_sampling_params", True):  # noqa: SLF001  LiveKit's own judgement of the model
        options = {k: v for k, v in options.items() if k not in {"temperature", "topP"}}
    untyped: Any = stream
    untyped._opts["inferenceConfig"] |= options  # noqa: SLF001  `chat` has no argument for them


def _bedrock_finish(_: str, chunk: Mapping[str, Any]) -> str | None:
    reason = (chunk.get("messageStop") or {}).get("stopReason")
    return str(reason) if reason else None


# ── Anthropic, Google, Mistral ───────────────────────────────────────────────────────────────────


def _anthropic_finish(event: Any) -> str | None:
    reason = event.delta.stop_reason if event.type == "message_delta" else None
    return str(reason) if reason else None


def _google(connection: Connection) -> Mapping[str, Any]:
    types: Any = importlib.import_module("google.genai.types")
    own = {"base_url": connection.base_url or None, "headers": dict(connection.headers) or None}
    given = {name: value for name, value in own.items() if value}
    return {
        "base_url": None,
        "extra_headers": None,
        "http_options": types.HttpOptions(**given) if given else None,
    }


_NOT_SIGNED = b"skip_thought_signature_validator"
"""Replaces the signature of a call that another vendor's model made; without one Gemini 3 answers
400 (ai.google.dev/gemini-api/docs/thought-signatures)."""


def _sign(model: llm.LLM[Any], context: llm.ChatContext) -> None:
    signatures: dict[str, bytes] = model._thought_signatures  # type: ignore[attr-defined]  # noqa: SLF001  of the google plugin
    for item in context.items:
        if isinstance(item, llm.FunctionCall):
            signatures.setdefault(item.call_id, _NOT_SIGNED)


def _observe_gemini(stream: Any, on_finish: OnFinish) -> None:
    """Wraps the stream's client: the plugin reads finish reasons in no method of its own."""
    client = stream._client  # noqa: SLF001  of the google plugin

    async def generate(**request: Any) -> AsyncIterator[Any]:
        return observed(await client.aio.models.generate_content_stream(**request))

    async def observed(responses: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for response in responses:
            for candidate in response.candidates or ():
                on_finish(candidate.finish_reason and candidate.finish_reason.name.lower())
            yield response

    models = SimpleNamespace(generate_content_stream=generate)
    stream._client = SimpleNamespace(aio=SimpleNamespace(models=models))  # noqa: SLF001  of the google plugin


def _mistral(_: Connection) -> Mapping[str, Any]:
    # The other mode, for conversations, is slower and stores the callers' words on the server.
    return {"api_mode": "chat_completions"}


# ── OpenAI's wire ────────────────────────────────────────────────────────────────────────────────


def _openai_finish(choice: Any) -> str | None:
    """Returns the reason in a choice; an error in it, and the vendor's own reason, count too."""
    native = getattr(choice, "native_finish_reason", None)
    reason = "error" if getattr(choice, "error", None) else choice.finish_reason
    if isinstance(native, str) and is_failure(native) and reason in {None, "", "stop"}:
        reason = native
    return str(reason) if reason else None


def _observe_openai(stream: Any, on_finish: OnFinish) -> None:
    """Observes the choices, and the mark of the end, which OpenAI's library does not pass on."""
    parse = stream._parse_choice  # noqa: SLF001  of the openai plugin
    is_watching = False

    def observed(chunk_id: str, choice: Any, *rest: Any) -> Any:
        nonlocal is_watching
        if not is_watching:
            is_watching = True
            _observe_end(getattr(stream, "_oai_stream", None), on_finish)
        on_finish(_openai_finish(choice))
        return parse(chunk_id, choice, *rest)

    stream._parse_choice = observed  # noqa: SLF001  of the openai plugin


def _observe_end(source: Any, on_finish: OnFinish) -> None:
    """Observes the lines of OpenAI's library; without this the end alone says nothing."""
    decoder: Any = getattr(source, "_decoder", None)
    decode = getattr(decoder, "decode", None)

    def observed(line: str) -> Any:
        if line.startswith("data:") and line[5:].strip() == DONE:
            on_finish(DONE)
        return decode(line) if decode else None

    if decode:
        decoder.decode = observed


def _openai() -> Plugin:
    return Plugin(
        options=_OPENAI_OPTIONS,
        observe_finish=_observe_openai,
        lists_models=True,
        close=lambda model: model._client.close(),  # noqa: SLF001  the plugin has no way to
    )


PLUGINS: Mapping[str, Plugin] = {
    "anthropic": Plugin(
        # Its library no longer takes them as arguments; the body may hold them.
        options={
            "temperature": "temperature",
            "top_p": "top_p",
            "max_tokens": "max_tokens",
            "stop": "stop_sequences",
        },
        options_argument="extra_body",
        continues=f"^{_OLDER_CLAUDE}",
        ends_with_user=True,
        observe_finish=_wrap("_parse_event", _anthropic_finish),
        lists_models=True,
        close=lambda model: model._client.close(),  # noqa: SLF001  the plugin has no way to
    ),
    "aws": Plugin(
        construct=_bedrock,
        options={
            "temperature": "temperature",
            "top_p": "topP",
            "max_tokens": "maxTokens",
            "stop": "stopSequences",
        },
        set_options=_set_bedrock_options,
        continues=rf"anthropic\.{_OLDER_CLAUDE}",
        ends_with_user=True,
        observe_finish=_wrap("_parse_chunk", _bedrock_finish),
        warm=lambda model: model._session.client(),  # noqa: SLF001  our own session
        close=lambda model: model._session.aclose(),  # noqa: SLF001  the same
    ),
    "google": Plugin(
        construct=_google,
        options={
            "temperature": "temperature",
            "top_p": "top_p",
            "max_tokens": "max_output_tokens",
            "stop": "stop_sequences",
            "seed": "seed",
        },
        prepare=_sign,
        observe_finish=_observe_gemini,
        close=lambda model: model._client.aio.aclose(),  # noqa: SLF001  the plugin has no way to
    ),
    "groq": _openai(),
    "mistralai": Plugin(
        construct=_mistral,
        options={**_OPENAI_OPTIONS, "max_tokens": "max_tokens", "seed": "random_seed"},
        call_id=r"[A-Za-z0-9]{9}",
    ),
    "openai": _openai(),
}
_UNKNOWN = Plugin()
_ALIASES = {"bedrock": "aws", "mistral": "mistralai"}
_BY_TYPE = {
    "anthropic": "anthropic",
    "bedrock": "aws",
    "google": "google",
    "groq": "groq",
    "openai": "openai",
}
VERSION = "1.8.9"


def plugin_name(connection: Connection) -> str:
    """Returns the plugin that a connection names, else the one of its type.

    Raises ConfigurationError if neither names a plugin.
    """
    name = connection.server or _BY_TYPE.get(connection.connection_type, "")
    name = _ALIASES.get(name, name)
    if not name.isidentifier():
        raise ConfigurationError(
            f"connection {connection.name!r}: server must name a LiveKit plugin,"
            ' such as "anthropic", "google" or "bedrock"'
        )
    return name


def load(connection: Connection) -> tuple[Plugin, type[llm.LLM[Any]]]:
    """Returns the plugin's row and its class of language model.

    Raises ConfigurationError, with the package to install, if the plugin is not installed, and if
    it has no language model.
    """
    name = plugin_name(connection)
    row, who = PLUGINS.get(name, _UNKNOWN), f"connection {connection.name!r}"
    try:
        module = importlib.import_module(f"livekit.plugins.{name}")
    except ModuleNotFoundError as error:
        package = f"livekit-plugins-{name.replace('_', '-')}=={VERSION}"
        raise ConfigurationError(
            f"{who}: LiveKit plugin {name!r} needs the module {error.name}; install it:"
            f" pip install {package}, or in a checkout EXTRAS={name} make setup"
        ) from error
    llm_class = getattr(module, "LLM", None)
    if not (isinstance(llm_class, type) and issubclass(llm_class, llm.LLM)):
        raise ConfigurationError(f"{who}: LiveKit plugin {name!r} has no language model")
    return row, llm_class


def row_of(llm_class: type[llm.LLM[Any]]) -> Plugin:
    """Returns the row of the plugin that the class, or one of its bases, comes from."""
    for base in llm_class.__mro__:
        folder, _, name = base.__module__.rpartition("livekit.plugins.")
        if not folder and (row := PLUGINS.get(name.partition(".")[0])):
            return row
    return _UNKNOWN


def can_continue(row: Plugin, model: str) -> bool:
    """Returns whether the model continues a last assistant message."""
    return bool(re.search(row.continues, model.lower()))
