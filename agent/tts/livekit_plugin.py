"""Speaks with a LiveKit TTS plugin, `livekit_plugin:<name>`: cartesia, elevenlabs, ..."""

from agent.speech.engine import from_plugin
from agent.speech.tts import TTSEngine, TTSOptions


def create(options: TTSOptions) -> TTSEngine:
    """Makes the engine. Raises ConfigurationError if the plugin is missing or refuses them."""
    engine: TTSEngine = from_plugin(options, voice=options.voice, voice_id=options.voice)
    return engine
