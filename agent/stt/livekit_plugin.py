"""Any LiveKit STT plugin, as `livekit_plugin:<name>`: deepgram, assemblyai, speechmatics, ..."""

from agent.engines import from_plugin
from agent.stt.base import Engine, STTOptions


def create(options: STTOptions) -> Engine:
    """Raises ConfigurationError when the plugin is missing or refuses the options."""
    engine: Engine = from_plugin(options)
    return engine
