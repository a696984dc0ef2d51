"""Transcribes with a LiveKit STT plugin, `livekit_plugin:<name>`: deepgram, assemblyai, ..."""

from agent.speech.engine import from_plugin
from agent.speech.stt import STTEngine, STTOptions


def create(options: STTOptions) -> STTEngine:
    """Makes the engine. Raises ConfigurationError if the plugin is missing or refuses them."""
    engine: STTEngine = from_plugin(options)
    return engine
