"""Transcribes with a LiveKit STT plugin, `livekit_plugin:<name>`: deepgram, assemblyai, ..."""

from collections.abc import Mapping

from agent.speech.engine import from_plugin
from agent.speech.plugin_languages import several_languages
from agent.speech.stt import STTEngine, STTOptions, all_missing


def create(options: STTOptions) -> STTEngine:
    """Makes the engine. Raises ConfigurationError if the plugin is missing or refuses them."""
    engine: STTEngine = from_plugin(options, **several_languages(options))
    return engine


def missing_languages(options: STTOptions) -> Mapping[str, str]:
    """Returns all others if the plugin is not known to report the language of a transcript."""
    return {} if several_languages(options) else all_missing(options)
