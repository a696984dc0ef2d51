"""Holds the options common to STT and TTS engines, and makes engines of LiveKit's plugins."""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import urlsplit

from agent.speech.models import default_folder
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

_SHORTEST_SECRET = 8
"""Characters of a key below which it is no secret, but may be a word of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Options of a speech engine; each engine ignores those that it has no use for.

    Raises ConfigurationError for values that no engine could work with.
    """

    kind: ClassVar[Literal["STT", "TTS"]]
    language: str = "en"
    """Language of the words, as a tag such as `en` or `pt-BR`."""
    model: str = ""
    """Name of the model; empty: the engine's default."""
    models_folder: Path = field(default_factory=default_folder)
    """Folder of the models that run on this machine (`agent.speech.models`)."""
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 3.0
    """Seconds of silence of an engine behind a network before the embedded one replaces it."""
    plugin: str = ""
    """The part after the colon in `livekit_plugin:<name>`; set by `load`."""
    is_spare: bool = False
    """Whether the engine only stands by for another: it then loads little before it is used, since
    every call process has one. Set by `load`."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ConfigurationError(f"{self.kind}: timeout must be above 0 s")
        if self.base_url and urlsplit(self.base_url).scheme not in {"http", "https", "ws", "wss"}:
            raise ConfigurationError(f"{self.kind}: base_url must look like http://host:port/v1")


class NameModel(Protocol):
    """The type of `speech_model` of an engine whose model runs in the speech process.

    It returns the model's name there, `<kind>:<source>`, and loads nothing. The worker asks it
    which models to load. Raises ConfigurationError if the model is not there.
    """

    def __call__(self, options: Any) -> str | None: ...


def no_model(options: EngineOptions) -> None:
    """Stands for `speech_model` in engines that use no speech process."""


def from_plugin(options: EngineOptions, **more: Any) -> Any:
    """Makes the `STT` or `TTS` of the LiveKit plugin that `options.plugin` names.

    It passes on those of the options, and of `more`, that are set and that the plugin's constructor
    takes; the plugin reads the rest from its own environment variables.

    Raises ConfigurationError if the plugin is not installed, has no engine of this kind, or refuses
    the options, with the plugin's own reason.
    """
    kind = options.kind
    make = import_plugin(kind, options.plugin)
    offered = {
        "model": options.model,
        "language": options.language,
        "base_url": options.base_url,
        "api_key": options.api_key,
        **more,
    }
    accepted = inspect.signature(make).parameters
    try:
        return make(**{key: value for key, value in offered.items() if value and key in accepted})
    except Exception as refused:  # a plugin may raise anything, its vendor's own errors included
        reason = without_secrets(str(refused), options).strip().rstrip(".") or repr(refused)
        hint = f"; {kind}_API_KEY is its key here" if _is_about_a_key(reason) else ""
        raise ConfigurationError(
            f"{kind} engine 'livekit_plugin:{options.plugin}' cannot start: {reason}{hint}"
        ) from refused


def import_plugin(kind: str, name: str) -> Callable[..., Any]:
    """Returns the `STT` or `TTS` of a LiveKit plugin. Its first import is for the main thread."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError("name the plugin after a colon, as in livekit_plugin:deepgram")
    try:
        make: Callable[..., Any] = getattr(importlib.import_module(f"livekit.plugins.{name}"), kind)
    except ImportError as missing:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        raise ConfigurationError(
            f"{kind} engine 'livekit_plugin:{name}' needs the package {package}: in a checkout,"
            f" EXTRAS={name} make setup; for containers, EXTRAS={name} in .env, then make up"
        ) from missing
    except AttributeError as missing:
        raise ConfigurationError(f"livekit.plugins.{name} has no {kind}") from missing
    return make


def import_engine(engines: Plugins[Any], kind: Literal["STT", "TTS"], name: str) -> None:
    """Imports the engine, and its LiveKit plugin if it has one: on the main thread, as that asks.

    Raises UnknownPluginError and ConfigurationError, as loading it does.
    """
    module, _, plugin = name.partition(":")
    engines.load(module)
    if plugin:
        import_plugin(kind, plugin)


def without_secrets(message: str, options: EngineOptions) -> str:
    """Returns the first line of a vendor's message, without the key and without URLs' queries."""
    line = message.partition("\n")[0]
    if len(options.api_key or "") >= _SHORTEST_SECRET:
        line = line.replace(options.api_key or "", "...")
    return re.sub(r"(\w+://[^\s?'\"]*)\?[^\s'\"]*", r"\1", line)


def _is_about_a_key(reason: str) -> bool:
    return re.search(r"\bkey\b|_KEY\b|credential", reason, re.IGNORECASE) is not None
