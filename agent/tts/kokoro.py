"""Speaks with Kokoro-82M, which sounds better than Piper and takes six times the work."""

from importlib.util import find_spec
from pathlib import Path

from agent.speech.kokoro_folder import SAMPLE_RATE, KokoroFolder
from agent.speech.tts import TTSOptions
from agent.speech.voice import ProcessTTS
from llm_router.errors import ConfigurationError

_PATIENCE = 15.0
"""Seconds for a clause: on two cores it takes half as long as it sounds, longer beside others."""


def create(options: TTSOptions) -> ProcessTTS:
    """Makes an engine with the named voice, such as `af_heart`, or with one for the language.

    `options.model` is the folder with the model; empty: `kokoro` in the folder of models. Raises
    ConfigurationError if there is no model or no such voice.
    """
    model = speech_model(options)
    return ProcessTTS(
        model,
        name=f"kokoro {model.rpartition('#')[2]}",
        provider="kokoro",
        language=options.language,
        sample_rate=SAMPLE_RATE,
        speed=options.speed,
        patience=_PATIENCE,
    )


def speech_model(options: TTSOptions) -> str:
    """Names the voice as a model of the speech process. Raises ConfigurationError as `create`."""
    if not find_spec("piper"):
        raise ConfigurationError("TTS engine 'kokoro' needs piper-tts: run make setup")
    named = Path(options.model).expanduser() if options.model else None
    folder = KokoroFolder(named or options.models_folder / "kokoro")
    folder.model()
    return f"kokoro:{folder.path}#{folder.choose(options.voice, options.language)}"
