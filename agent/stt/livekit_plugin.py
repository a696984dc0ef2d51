"""Any LiveKit STT plugin, as `livekit_plugin:<name>`: deepgram, assemblyai, speechmatics, ..."""

import importlib
import inspect
import re

from agent.stt.base import Engine, STTOptions
from llm_router.errors import ConfigurationError


def create(options: STTOptions) -> Engine:
    """Gives the plugin those options that its constructor takes; it finds the rest itself.

    Raises ConfigurationError when the plugin is not installed, has no STT, or refuses the options.
    """
    name = options.plugin
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError("name the plugin after a colon, as in livekit_plugin:deepgram")
    try:
        make = importlib.import_module(f"livekit.plugins.{name}").STT
    except ModuleNotFoundError as missing:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        raise ConfigurationError(
            f"STT engine 'livekit_plugin:{name}' needs a package: pip install {package}"
        ) from missing
    except AttributeError as missing:
        raise ConfigurationError(f"livekit.plugins.{name} has no STT") from missing
    offered = {
        "model": options.model,
        "language": options.language,
        "base_url": options.base_url,
        "api_key": options.api_key,
    }
    taken = inspect.signature(make).parameters
    chosen = {key: value for key, value in offered.items() if value and key in taken}
    try:
        engine: Engine = make(**chosen)
    except (TypeError, ValueError) as refused:
        raise ConfigurationError(f"livekit.plugins.{name}.STT refused its options") from refused
    return engine
