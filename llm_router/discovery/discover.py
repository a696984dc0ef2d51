"""Finds connections in a file, in the environment, or by searching this machine for servers.

The first of these sources that names a connection is used. Stored connections replace them all.
Where none names one, the built-in offline responder answers, so that there is a reply before
anything is set up. It has no place beside a model, since it says that none is connected.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from llm_router.catalog.servers import default_provider
from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.discovery.environment import (
    DiscoveredConnection,
    find_key_sources,
    read_environment,
    suggest_from_keys,
)
from llm_router.discovery.files import parse_connections
from llm_router.discovery.local_servers import DEFAULT_ADDRESSES, DetectedServer, find_local_servers
from llm_router.errors import ConfigurationError, UpstreamError
from llm_router.loopback import LOOPBACK_HOST, reach
from llm_router.providers.base import PROVIDERS

OFFLINE = "offline"
STORED = "stored"
"""Source of a stored connection."""
BUILT_IN = "built in"
"""Source of the offline responder, where no connection names it."""
_SINGLE_MODEL = frozenset({"llama_cpp", "llama_cpp_python"})
"""Servers that reply with their only model, whatever name a request gives."""
_MODEL_LISTING_PROVIDERS = frozenset({"openai_compatible", "ollama"})
_NOT_CHAT = re.compile(
    r"embed|rerank|whisper|transcribe|tts|dall-e|moderation|image", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class DiscoveryOptions:
    """Options of a search. `timeout`: time limit (s) for all servers together.

    `local`: addresses to search when nothing was configured; empty: none. `responder`: whether the
    built-in offline responder answers where nothing was configured and nothing was found.
    """

    timeout: float = 1.5
    local: tuple[str, ...] = DEFAULT_ADDRESSES
    responder: bool = True


@dataclass(frozen=True, slots=True)
class DiscoveryResult:
    """Connections in order of priority, with the source of each in words."""

    connections: tuple[Connection, ...]
    sources: Mapping[str, str]
    """Connection name -> "OLLAMA_BASE_URL", "found at 127.0.0.1:11434 (Ollama)", ..."""
    warnings: tuple[str, ...] = ()
    """Connections that were named but cannot be used, each with a remedy."""
    key_sources: Mapping[str, str] = field(default_factory=dict)
    """Name of a connection that has a key -> the place of the key, as `--key` takes it."""

    @property
    def configured(self) -> tuple[Connection, ...]:
        """All connections but the built-in responder."""
        return tuple(c for c in self.connections if self.sources[c.name] != BUILT_IN)

    def replaced_by(self, stored: Sequence[Connection]) -> "DiscoveryResult":
        """Returns the stored connections for chat; self if there are none. Names must differ."""
        stored = [connection for connection in stored if connection.serves == "chat"]
        if not stored:
            return self
        stored = sorted(stored, key=lambda c: c.priority)
        return _in_order([DiscoveredConnection(c, STORED) for c in stored], ())

    @property
    def is_offline(self) -> bool:
        """True if there is no active connection to a model."""
        return all(c.provider == OFFLINE for c in self.connections if c.is_active)

    def describe(self) -> list[str]:
        """Describes each connection in one line, without its key, for a log or a terminal."""
        return [f"{_describe(c)} ({self.sources[c.name]})" for c in self.connections]

    def without_secrets(self) -> "DiscoveryResult":
        """Returns a copy that may be shown to users."""
        return replace(self, connections=tuple(c.without_secrets() for c in self.connections))


async def find_connections(
    file: Path, environ: Mapping[str, str], options: DiscoveryOptions | None = None
) -> DiscoveryResult:
    """Reads `file` if it exists, else `environ`, else searches this machine for servers.

    Raises ConfigurationError for an invalid file or variable. A server that is down is no error: it
    is included, or named in `warnings` where its model is not known.
    """
    options = _seen_from_here(options or DiscoveryOptions(), environ)
    named = _from_file(file, environ)
    if named is None:
        named = read_environment(environ)
        if not named:
            return await _search_locally(options)
    if not named:
        return _in_order(_responder(options), [f"{file} names no connection"])
    host = environ.get(LOOPBACK_HOST, "")
    found = await _with_models([_reached(one, host) for one in named], options)
    return replace(found, key_sources=find_key_sources(found.connections, environ))


async def suggest_connections(
    environ: Mapping[str, str], options: DiscoveryOptions | None = None
) -> DiscoveryResult:
    """Suggests connections to add, from keys in `environ` and servers on this machine.

    No key is tried, and nothing is added. Raises ConfigurationError if Azure's endpoint is not a
    valid address.
    """
    options = _seen_from_here(options or DiscoveryOptions(), environ)
    detected, warnings = await _detect(options)
    return _in_order([*detected, *suggest_from_keys(environ)], warnings)


def _seen_from_here(options: DiscoveryOptions, environ: Mapping[str, str]) -> DiscoveryOptions:
    """Returns the options with the machine's addresses as this process reaches them."""
    host = environ.get(LOOPBACK_HOST, "")
    return replace(options, local=tuple(reach(address, host) for address in options.local))


def _reached(named: DiscoveredConnection, host: str) -> DiscoveredConnection:
    connection = named.connection
    if not connection.base_url:
        return named
    return replace(named, connection=replace(connection, base_url=reach(connection.base_url, host)))


def _from_file(file: Path, environ: Mapping[str, str]) -> list[DiscoveredConnection] | None:
    if file.is_char_device():
        return None  # /dev/null stands for no file where a container mounts one
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error})") from error
    return [
        DiscoveredConnection(connection, str(file))
        for connection in parse_connections(text, str(file), environ)
    ]


async def _with_models(
    named: Sequence[DiscoveredConnection], options: DiscoveryOptions
) -> DiscoveryResult:
    """Gives every connection a model: its own, a preferred one, or the server's first for chat."""
    unnamed = [n for n in named if _needs_model(n.connection)]
    # A single server with a preferred model need not be asked.
    to_ask = unnamed if len(unnamed) > 1 else [n for n in unnamed if not n.preferred_models]
    answers = await asyncio.gather(*(_models(n.connection, options.timeout) for n in to_ask))
    offered = dict(zip((n.connection.name for n in to_ask), answers, strict=True))
    usable: list[DiscoveredConnection] = []
    warnings: list[str] = []
    for n in named:
        if not _needs_model(n.connection):
            usable.append(n)
        elif (model := _choose_model(n, offered)) or n.connection.server in _SINGLE_MODEL:
            usable.append(replace(n, connection=replace(n.connection, model_name=model or "")))
        else:
            warnings.append(_without_model(n, answered=offered[n.connection.name] is not None))
    return _in_order(sorted(usable, key=lambda n: n.connection.priority), warnings)


def _needs_model(connection: Connection) -> bool:
    return connection.provider in _MODEL_LISTING_PROVIDERS and not connection.model_name


def _choose_model(
    named: DiscoveredConnection, offered: Mapping[str, Sequence[str] | None]
) -> str | None:
    models = offered.get(named.connection.name)
    if listed := next((name for name in named.preferred_models if _lists(models, name)), None):
        return listed
    # A preferred model that no server lists still counts: a proxy may know more than it lists.
    free = (
        name
        for name in named.preferred_models
        if not any(_lists(models, name) for models in offered.values())
    )
    if unlisted := next(free, None):
        return unlisted
    return _first_chat_model(models) if models else next(iter(named.preferred_models), None)


def _lists(models: Sequence[str] | None, name: str) -> bool:
    return models is not None and (name in models or f"{name}:latest" in models)


def _first_chat_model(models: Sequence[str]) -> str | None:
    return next((model for model in models if not _NOT_CHAT.search(model)), None)


def _without_model(named: DiscoveredConnection, *, answered: bool) -> str:
    address = named.connection.base_url
    if answered:
        problem = f"the server at {address} lists no chat model; load one there"
    else:
        problem = f"the server at {address} did not say which models it has; start it"
    return f"{named.connection.name} ({named.source}) is left out: {problem}, or name a model"


async def _models(connection: Connection, within: float) -> Sequence[str] | None:
    """Lists the server's models through the connection's provider; None: it did not answer."""
    provider = PROVIDERS.load(connection.provider)(connection, SystemClock())
    try:
        async with asyncio.timeout(within):
            return await provider.models()
    except (UpstreamError, TimeoutError):
        return None
    finally:
        await provider.aclose()


async def _search_locally(options: DiscoveryOptions) -> DiscoveryResult:
    found, warnings = await _detect(options)
    return _in_order(found or _responder(options), warnings)


async def _detect(options: DiscoveryOptions) -> tuple[list[DiscoveredConnection], list[str]]:
    found: list[DiscoveredConnection] = []
    warnings: list[str] = []
    for detected in await find_local_servers(options.local, options.timeout):
        model = _first_chat_model(detected.models)
        if model or detected.server in _SINGLE_MODEL:
            taken = {one.connection.name for one in found}
            found.append(_local_connection(detected, model or "", len(found), taken))
        else:
            warnings.append(
                f"{detected.title} runs at {detected.base_url}, but has no chat model yet"
            )
    return found, warnings


def _local_connection(
    detected: DetectedServer, model: str, place: int, taken: set[str]
) -> DiscoveredConnection:
    name = detected.server or "local"
    if name in taken:
        name = f"{name} {urlsplit(detected.base_url).port}"
    connection = Connection(
        name=name,
        base_url=detected.base_url,
        model_name=model,
        server=detected.server,
        context_length=detected.context_length(model),
        connection_type="local",
        priority=10 * place,
    )
    connection = replace(connection, provider=default_provider(connection))
    where = urlsplit(detected.base_url).netloc
    return DiscoveredConnection(connection, f"found at {where} ({detected.title})")


def _responder(options: DiscoveryOptions) -> list[DiscoveredConnection]:
    if not options.responder:
        return []
    return [DiscoveredConnection(Connection(name=OFFLINE, provider=OFFLINE), BUILT_IN)]


def _in_order(named: Sequence[DiscoveredConnection], warnings: Sequence[str]) -> DiscoveryResult:
    return DiscoveryResult(
        connections=tuple(n.connection for n in named),
        sources={n.connection.name: n.source for n in named},
        warnings=tuple(warnings),
    )


def _describe(connection: Connection) -> str:
    if connection.provider == OFFLINE:
        return f"{connection.name}: rules, no model"
    at = f" at {connection.base_url}" if connection.base_url else ""
    return f"{connection.name}: {connection.model_name or 'its own model'}{at}"
