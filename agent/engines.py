"""What ears and voices share: their options, and LiveKit's plugins as engines."""

import importlib
import inspect
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from llm_router.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine may be told; it leaves out what it has no use for.

    Raises ConfigurationError for what no engine could work with.
    """

    kind: ClassVar[Literal["STT", "TTS"]]
    language: str = "en"
    """Of the words, as a tag such as `en` or `pt-BR`."""
    model: str = ""
    """Empty: the engine's own choice."""
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 3.0
    """Seconds a network engine may be silent before the embedded one steps in."""
    plugin: str = ""
    """What follows the colon in `livekit_plugin:<name>`; filled in by `load`."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ConfigurationError(f"{self.kind}: timeout must be above 0 s")
        if self.base_url and urlsplit(self.base_url).scheme not in {"http", "https", "ws", "wss"}:
            raise ConfigurationError(f"{self.kind}: base_url must look like http://host:port/v1")


def from_plugin(options: EngineOptions, **also: str) -> Any:
    """The plugin's `STT` or `TTS`, given those options (and `also`) that its constructor takes.

    It finds the rest itself. Raises ConfigurationError when the plugin is not installed, has none
    of that kind, or refuses the options.
    """
    kind, name = options.kind, options.plugin
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError("name the plugin after a colon, as in livekit_plugin:deepgram")
    try:
        make = getattr(importlib.import_module(f"livekit.plugins.{name}"), kind)
    except ModuleNotFoundError as missing:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        raise ConfigurationError(
            f"{kind} engine 'livekit_plugin:{name}' needs a package: pip install {package}"
        ) from missing
    except AttributeError as missing:
        raise ConfigurationError(f"livekit.plugins.{name} has no {kind}") from missing
    offered = {
        "model": options.model,
        "language": options.language,
        "base_url": options.base_url,
        "api_key": options.api_key,
        **also,
    }
    taken = inspect.signature(make).parameters
    try:
        return make(**{key: value for key, value in offered.items() if value and key in taken})
    except (TypeError, ValueError) as refused:
        raise ConfigurationError(f"livekit.plugins.{name}.{kind} refused its options") from refused
