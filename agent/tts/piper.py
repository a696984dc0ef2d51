"""Speaks with a Piper voice, a neural network that runs here: no key, and no network in a call.

The voices, over a hundred in forty languages, are at huggingface.co/rhasspy/piper-voices.
"""

from importlib.util import find_spec

from agent.speech.tts import TTSOptions
from agent.speech.voice import ProcessTTS
from agent.speech.voice_file import VoiceFile, choose_voice
from llm_router.errors import ConfigurationError


def create(options: TTSOptions) -> ProcessTTS:
    """Makes an engine with the named voice, or with one for the language.

    `options.voice` may end in `#<speaker>`. Raises ConfigurationError if there is no such voice on
    this machine, or if it speaks another language.
    """
    voice, speaker = _chosen(options)
    return ProcessTTS(
        _name(voice, speaker),
        name=voice.path.stem,
        provider="piper",
        language=options.language,
        sample_rate=voice.sample_rate,
        speed=options.speed,
    )


def speech_model(options: TTSOptions) -> str:
    """Names the voice as a model of the speech process. Raises ConfigurationError as `create`."""
    return _name(*_chosen(options))


def _chosen(options: TTSOptions) -> tuple[VoiceFile, str]:
    if not find_spec("piper"):
        raise ConfigurationError("TTS engine 'piper' needs piper-tts: run make setup")
    return choose_voice(options.voice, options.language, options.models_folder)


def _name(voice: VoiceFile, speaker: str) -> str:
    return f"piper:{voice.path}#{speaker}" if speaker else f"piper:{voice.path}"
