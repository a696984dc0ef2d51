"""Any LiveKit TTS plugin, as `livekit_plugin:<name>`: cartesia, elevenlabs, deepgram, ..."""

from agent.engines import from_plugin
from agent.tts.base import Engine, TTSOptions


def create(options: TTSOptions) -> Engine:
    """Raises ConfigurationError when the plugin is missing or refuses the options."""
    engine: Engine = from_plugin(options, voice=options.voice, voice_id=options.voice)
    return engine
