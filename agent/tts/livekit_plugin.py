"""Any LiveKit TTS plugin, as `livekit_plugin:<name>`: cartesia, elevenlabs, deepgram, ..."""

import importlib
import inspect
import re

from agent.tts.base import Engine, TTSOptions
from llm_router.errors import ConfigurationError


def create(options: TTSOptions) -> Engine:
    """Gives the plugin those options that its constructor takes; it finds the rest itself.

    Raises ConfigurationError when the plugin is not installed, has no TTS, or refuses the options.
    """
    name = options.plugin
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigurationError("name the plugin after a colon, as in livekit_plugin:cartesia")
    try:
        make = importlib.import_module(f"livekit.plugins.{name}").TTS
    except ModuleNotFoundError as missing:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        raise ConfigurationError(
            f"TTS engine 'livekit_plugin:{name}' needs a package: pip install {package}"
        ) from missing
    except AttributeError as missing:
        raise ConfigurationError(f"livekit.plugins.{name} has no TTS") from missing
    offered = {
        "model": options.model,
        "voice": options.voice,
        "voice_id": options.voice,
        "language": options.language,
        "base_url": options.base_url,
        "api_key": options.api_key,
    }
    taken = inspect.signature(make).parameters
    chosen = {key: value for key, value in offered.items() if value and key in taken}
    try:
        engine: Engine = make(**chosen)
    except (TypeError, ValueError) as refused:
        raise ConfigurationError(f"livekit.plugins.{name}.TTS refused its options") from refused
    return engine
