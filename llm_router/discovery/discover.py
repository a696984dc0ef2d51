"""Where the connections come from: the store, a file, the environment, or servers found here.

The first of the four that names any is taken, and the built-in offline responder always comes
last, so that there is an answer before anything is set up.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from llm_router.catalog.servers import default_provider
from llm_router.clock import SystemClock
from llm_router.connections.record import NUMBER_RANGES, Connection
from llm_router.discovery.environment import (
    DiscoveredConnection,
    read_environment,
    suggest_from_keys,
)
from llm_router.discovery.files import parse_connections
from llm_router.discovery.local_servers import DEFAULT_ADDRESSES, DetectedServer, find_local_servers
from llm_router.errors import ConfigurationError, UpstreamError
from llm_router.providers.base import PROVIDERS

OFFLINE = "offline"
STORED, BUILT_IN = "stored", "built in"
"""Sources."""
_OFFLINE_PRIORITY = 10_000
_NAMELESS = frozenset({"llama_cpp", "llama_cpp_python"})
"""Servers that answer with the one model they hold, whatever name is asked for."""
_LIST_MODELS = frozenset({"openai_compatible", "ollama"})
_NO_CHAT = re.compile(r"embed|rerank|whisper|transcribe|tts|dall-e|moderation|image", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DiscoveryOptions:
    """How servers are asked. `timeout`: seconds that all of them together may take.

    `local`: addresses looked at when nothing was configured; empty to look at none.
    """

    timeout: float = 1.5
    local: tuple[str, ...] = DEFAULT_ADDRESSES


@dataclass(frozen=True, slots=True)
class DiscoveryResult:
    """The connections in the order of their priority, and where each came from, in words."""

    connections: tuple[Connection, ...]
    sources: Mapping[str, str]
    """Connection name -> "OLLAMA_BASE_URL", "found at 127.0.0.1:11434 (Ollama)", ..."""
    warnings: tuple[str, ...] = ()
    """What was named but cannot be used, and what to do about it."""

    @property
    def configured(self) -> tuple[Connection, ...]:
        """Those that somebody set up or started: all but the built-in responder."""
        return tuple(c for c in self.connections if self.sources[c.name] != BUILT_IN)

    def replaced_by(self, stored: Sequence[Connection]) -> "DiscoveryResult":
        """What is asked: those that are stored, with the built-in responder behind them; where
        there is none, what was found. Names must differ.
        """
        return _found([DiscoveredConnection(c, STORED) for c in stored], ()) if stored else self

    @property
    def is_offline(self) -> bool:
        """Whether nobody but the built-in responder is there to answer."""
        return all(c.provider == OFFLINE for c in self.connections if c.is_active)

    def describe(self) -> list[str]:
        """One line a connection, for a log or a terminal; no key."""
        return [f"{_described(c)} ({self.sources[c.name]})" for c in self.connections]

    def without_secrets(self) -> "DiscoveryResult":
        """For whoever keeps it to show it."""
        return replace(self, connections=tuple(c.without_secrets() for c in self.connections))


async def find_connections(
    file: Path, environ: Mapping[str, str], probe: DiscoveryOptions | None = None
) -> DiscoveryResult:
    """Reads `file` if it is there, else `environ`, else looks for servers on this machine.

    Raises ConfigurationError for a file or a variable that cannot be understood. A server that is
    down is no error: it is kept, or named in `warnings` where its model is not known.
    """
    probe = probe or DiscoveryOptions()
    named = _from_file(file, environ)
    if named is None:
        named = read_environment(environ)
        if not named:
            return await _found_locally(probe)
    if not named:
        return _found([], [f"{file} names no connection"])
    return await _with_models(named, probe)


async def suggest_connections(
    environ: Mapping[str, str], probe: DiscoveryOptions | None = None
) -> DiscoveryResult:
    """What could be added, for a person to choose from: keys in `environ`, servers found here.

    No key is tried, and nothing is added. Raises ConfigurationError where Azure's endpoint is no
    address.
    """
    probe = probe or DiscoveryOptions()
    seen, warnings = await _sighted(probe)
    return _in_order([*seen, *suggest_from_keys(environ)], warnings)


def _from_file(file: Path, environ: Mapping[str, str]) -> list[DiscoveredConnection] | None:
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
    named: Sequence[DiscoveredConnection], probe: DiscoveryOptions
) -> DiscoveryResult:
    """Every connection gets a model: the one it names, one wished for, or the server's first."""
    unnamed = [n for n in named if _needs_model(n.connection)]
    # One server and one wish leave nothing to ask.
    asked = unnamed if len(unnamed) > 1 else [n for n in unnamed if not n.preferred_models]
    answers = await asyncio.gather(*(_models(n.connection, probe.timeout) for n in asked))
    offered = dict(zip((n.connection.name for n in asked), answers, strict=True))
    usable: list[DiscoveredConnection] = []
    warnings: list[str] = []
    for n in named:
        if not _needs_model(n.connection):
            usable.append(n)
        elif (model := _choice(n, offered)) or n.connection.server in _NAMELESS:
            usable.append(replace(n, connection=replace(n.connection, model_name=model or "")))
        else:
            warnings.append(_without_model(n, answered=offered[n.connection.name] is not None))
    return _found(usable, warnings)


def _needs_model(connection: Connection) -> bool:
    return connection.provider in _LIST_MODELS and not connection.model_name


def _choice(named: DiscoveredConnection, offered: Mapping[str, Sequence[str] | None]) -> str | None:
    models = offered.get(named.connection.name)
    if listed := next((wish for wish in named.preferred_models if _lists(models, wish)), None):
        return listed
    # A wish that nobody lists counts all the same: a proxy may know more models than it names.
    free = (w for w in named.preferred_models if not any(_lists(m, w) for m in offered.values()))
    if unlisted := next(free, None):
        return unlisted
    return _first_chat_model(models) if models else next(iter(named.preferred_models), None)


def _lists(models: Sequence[str] | None, name: str) -> bool:
    return models is not None and (name in models or f"{name}:latest" in models)


def _first_chat_model(models: Sequence[str]) -> str | None:
    return next((model for model in models if not _NO_CHAT.search(model)), None)


def _without_model(named: DiscoveredConnection, *, answered: bool) -> str:
    address = named.connection.base_url
    if answered:
        what = f"the server at {address} lists no chat model; load one there"
    else:
        what = f"the server at {address} did not say which models it has; start it"
    return f"{named.connection.name} ({named.source}) is left out: {what}, or name a model"


async def _models(connection: Connection, within: float) -> Sequence[str] | None:
    """What the server offers, asked through the provider that will talk to it; None: no answer."""
    provider = PROVIDERS.load(connection.provider)(connection, SystemClock())
    try:
        async with asyncio.timeout(within):
            return await provider.models()
    except (UpstreamError, TimeoutError):
        return None
    finally:
        await provider.aclose()


async def _found_locally(probe: DiscoveryOptions) -> DiscoveryResult:
    return _found(*await _sighted(probe))


async def _sighted(probe: DiscoveryOptions) -> tuple[list[DiscoveredConnection], list[str]]:
    named: list[DiscoveredConnection] = []
    warnings: list[str] = []
    for sighting in await find_local_servers(probe.local, probe.timeout):
        model = _first_chat_model(sighting.models)
        if model or sighting.server in _NAMELESS:
            named.append(
                _seen(sighting, model or "", len(named), {n.connection.name for n in named})
            )
        else:
            warnings.append(
                f"{sighting.title} runs at {sighting.base_url}, but has no chat model yet"
            )
    return named, warnings


def _seen(
    sighting: DetectedServer, model: str, place: int, taken: set[str]
) -> DiscoveredConnection:
    name = sighting.server or "local"
    if name in taken:
        name = f"{name} {urlsplit(sighting.base_url).port}"
    connection = Connection(
        name=name,
        base_url=sighting.base_url,
        model_name=model,
        server=sighting.server,
        context_length=sighting.context_length(model),
        connection_type="local",
        priority=10 * place,
    )
    connection = replace(connection, provider=default_provider(connection))
    where = urlsplit(sighting.base_url).netloc
    return DiscoveredConnection(connection, f"found at {where} ({sighting.title})")


def _found(named: Sequence[DiscoveredConnection], warnings: Sequence[str]) -> DiscoveryResult:
    """Everything in order, with the built-in responder behind it unless it was named already."""
    everyone = list(named)
    if not any(n.connection.provider == OFFLINE for n in everyone):
        names = {n.connection.name for n in everyone}
        last = max((n.connection.priority for n in everyone), default=0)
        builtin = Connection(
            name=OFFLINE if OFFLINE not in names else "offline (built in)",
            provider=OFFLINE,
            priority=min(max(_OFFLINE_PRIORITY, last + 1), NUMBER_RANGES["priority"][1]),
            hedge="never",
        )
        everyone.append(DiscoveredConnection(builtin, BUILT_IN))
    return _in_order(sorted(everyone, key=lambda n: n.connection.priority), warnings)


def _in_order(named: Sequence[DiscoveredConnection], warnings: Sequence[str]) -> DiscoveryResult:
    return DiscoveryResult(
        connections=tuple(n.connection for n in named),
        sources={n.connection.name: n.source for n in named},
        warnings=tuple(warnings),
    )


def _described(connection: Connection) -> str:
    if connection.provider == OFFLINE:
        return f"{connection.name}: rules, no model"
    at = f" at {connection.base_url}" if connection.base_url else ""
    return f"{connection.name}: {connection.model_name or 'its own model'}{at}"
