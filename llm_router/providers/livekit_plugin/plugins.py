"""What is peculiar to each of LiveKit's plugins, as read in their sources, version 1.8.9.

Each is made from a connection's fields, asked with a request's options in its own words, and
watched for how its answers end: LiveKit's chunks do not say that, and an answer that was cut off
looks like one that is whole.
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

_OLDER_CLAUDE = r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8}|-latest|-v\d.*|$))"
"""Models that go on with a last message of the assistant's; newer ones refuse it."""
_OPENAI_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_completion_tokens",
    "stop": "stop",
    "seed": "seed",
}
_CALL_ID = r"[A-Za-z0-9_-]{1,64}"


Tell = Callable[[str | None], None]
"""Told why an answer ends, or nothing, as often as one likes."""
Listen = Callable[[Any, Tell], None]


def _at(method: str, finish: Callable[..., str | None]) -> Listen:
    """Listens at the method of a stream that sees each event; `finish` reads its arguments."""

    def listen(stream: Any, tell: Tell) -> None:
        parse = getattr(stream, method)

        def overheard(*args: Any) -> Any:
            tell(finish(*args))
            return parse(*args)

        setattr(stream, method, overheard)

    return listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """The defaults are for a plugin that nothing is known of."""

    extra: str = ""
    """What installs it: `pip install 'patchbay[<extra>]'`."""
    construct: Callable[[Connection], Mapping[str, Any]] = lambda _: {}
    """Arguments in place of fields that it spells in a way of its own; None: not to be given."""
    options: Mapping[str, str] = field(
        default_factory=lambda: {"temperature": "temperature", "top_p": "top_p"}
    )
    """A request's options, and what it calls them."""
    ask: Callable[[llm.LLMStream, dict[str, Any]], None] | None = None
    """Puts the options into a stream that has not begun, where `chat` drops them."""
    nested: str = ""
    """The argument of `chat` that holds the options."""
    continues: str = r"(?!)"
    """The models that go on with a last message of the assistant's, as a pattern."""
    ends_with_user: bool = False
    """Refuses a last message of the assistant's, unless it is to go on with it."""
    call_id: str = _CALL_ID
    """The ids of calls that it takes."""
    prepare: Callable[[llm.LLM[Any], llm.ChatContext], None] | None = None
    """Makes a history of other vendors' acceptable."""
    listen: Listen | None = None
    """Overhears, in a stream that has not begun, why the answer ends; None: that is not known."""
    lists: bool = False
    """Its vendor's library lists models as OpenAI's does."""
    warm: Callable[[Any], Awaitable[Any]] | None = None
    """Opens what its own `prewarm` does not."""
    close: Callable[[Any], Awaitable[None]] | None = None
    """Closes what the plugin itself leaves open."""


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


def _put_into_bedrock(stream: llm.LLMStream, options: dict[str, Any]) -> None:
    if not getattr(stream._llm, "_supports_sampling_params", True):  # noqa: SLF001  LiveKit's own judgement of the model
        options = {k: v for k, v in options.items() if k not in {"temperature", "topP"}}
    asked: Any = stream
    asked._opts["inferenceConfig"] |= options  # noqa: SLF001  `chat` has no argument for them


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
"""ai.google.dev/gemini-api/docs/thought-signatures: stands for the signature of a call that another
vendor's model made; without one Gemini 3 answers 400."""


def _sign(model: llm.LLM[Any], context: llm.ChatContext) -> None:
    signatures: dict[str, bytes] = model._thought_signatures  # type: ignore[attr-defined]  # noqa: SLF001  of the google plugin
    for item in context.items:
        if isinstance(item, llm.FunctionCall):
            signatures.setdefault(item.call_id, _NOT_SIGNED)


def _listen_to_gemini(stream: Any, tell: Tell) -> None:
    """Its stream reads the end where nobody can look; so the library's answer is passed on."""
    client = stream._client  # noqa: SLF001  of the google plugin

    async def asked(**request: Any) -> AsyncIterator[Any]:
        return overheard(await client.aio.models.generate_content_stream(**request))

    async def overheard(answer: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for response in answer:
            for candidate in response.candidates or ():
                tell(candidate.finish_reason and candidate.finish_reason.name.lower())
            yield response

    models = SimpleNamespace(generate_content_stream=asked)
    stream._client = SimpleNamespace(aio=SimpleNamespace(models=models))  # noqa: SLF001  of the google plugin


def _mistral(_: Connection) -> Mapping[str, Any]:
    # The other one, for conversations, is slower, and keeps what callers say on the server.
    return {"api_mode": "chat_completions"}


# ── OpenAI's wire ────────────────────────────────────────────────────────────────────────────────


def _openai_finish(_: str, choice: Any, *__: Any) -> str | None:
    return str(choice.finish_reason) if choice.finish_reason else None


def _openai(extra: str = "") -> Plugin:
    return Plugin(
        extra=extra,
        options=_OPENAI_OPTIONS,
        listen=_at("_parse_choice", _openai_finish),
        lists=True,
        close=lambda made: made._client.close(),  # noqa: SLF001  the plugin has no way to
    )


PLUGINS: Mapping[str, Plugin] = {
    "anthropic": Plugin(
        extra="anthropic",
        # Its library takes them no more as arguments; in the body they count.
        options={
            "temperature": "temperature",
            "top_p": "top_p",
            "max_tokens": "max_tokens",
            "stop": "stop_sequences",
        },
        nested="extra_body",
        continues=f"^{_OLDER_CLAUDE}",
        ends_with_user=True,
        listen=_at("_parse_event", _anthropic_finish),
        lists=True,
        close=lambda made: made._client.close(),  # noqa: SLF001  the plugin has no way to
    ),
    "aws": Plugin(
        extra="bedrock",
        construct=_bedrock,
        options={
            "temperature": "temperature",
            "top_p": "topP",
            "max_tokens": "maxTokens",
            "stop": "stopSequences",
        },
        ask=_put_into_bedrock,
        continues=rf"anthropic\.{_OLDER_CLAUDE}",
        ends_with_user=True,
        listen=_at("_parse_chunk", _bedrock_finish),
        warm=lambda made: made._session.client(),  # noqa: SLF001  it is ours
        close=lambda made: made._session.aclose(),  # noqa: SLF001  the same
    ),
    "google": Plugin(
        extra="google",
        construct=_google,
        options={
            "temperature": "temperature",
            "top_p": "top_p",
            "max_tokens": "max_output_tokens",
            "stop": "stop_sequences",
            "seed": "seed",
        },
        prepare=_sign,
        listen=_listen_to_gemini,
        close=lambda made: made._client.aio.aclose(),  # noqa: SLF001  the plugin has no way to
    ),
    "groq": _openai("groq"),
    "mistralai": Plugin(
        extra="mistral",
        construct=_mistral,
        options={**_OPENAI_OPTIONS, "max_tokens": "max_tokens", "seed": "random_seed"},
        call_id=r"[A-Za-z0-9]{9}",
    ),
    "openai": _openai(),
}
_UNKNOWN = Plugin()
_OTHER_NAMES = {"bedrock": "aws", "mistral": "mistralai"}
_BY_TYPE = {
    "anthropic": "anthropic",
    "bedrock": "aws",
    "google": "google",
    "groq": "groq",
    "openai": "openai",
}
VERSION = "1.8.9"


def name_of(connection: Connection) -> str:
    """The plugin that a connection names, else the one of its type.

    Raises ConfigurationError where there is none.
    """
    name = connection.server or _BY_TYPE.get(connection.connection_type, "")
    name = _OTHER_NAMES.get(name, name)
    if not name.isidentifier():
        raise ConfigurationError(
            f"connection {connection.name!r}: server must name a LiveKit plugin,"
            ' such as "anthropic", "google" or "bedrock"'
        )
    return name


def load(connection: Connection) -> tuple[Plugin, type[llm.LLM[Any]]]:
    """What is known of the plugin, and its language model.

    Raises ConfigurationError where it is not installed, saying what to install.
    """
    name = name_of(connection)
    row, who = PLUGINS.get(name, _UNKNOWN), f"connection {connection.name!r}"
    try:
        module = importlib.import_module(f"livekit.plugins.{name}")
    except ModuleNotFoundError as error:
        package = f"livekit-plugins-{name.replace('_', '-')}=={VERSION}"
        if row.extra:
            package = f"'patchbay[{row.extra}]'"
        raise ConfigurationError(
            f"{who}: LiveKit plugin {name!r} needs the module {error.name}; install it:"
            f" pip install {package}"
        ) from error
    made_of = getattr(module, "LLM", None)
    if not (isinstance(made_of, type) and issubclass(made_of, llm.LLM)):
        raise ConfigurationError(f"{who}: LiveKit plugin {name!r} has no language model")
    return row, made_of


def goes_on(row: Plugin, model: str) -> bool:
    return bool(re.search(row.continues, model.lower()))
