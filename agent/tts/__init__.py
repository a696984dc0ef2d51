"""Loads text-to-speech engines; each module here is an engine, found by its name.

What engines share belongs to `agent.speech`: engines do not import each other.
"""

import logging
from dataclasses import replace

from agent.speech.choice import EMBEDDED as _EMBEDDED
from agent.speech.choice import Choice
from agent.speech.choice import choose as choose_engine
from agent.speech.engine import NameModel, no_model
from agent.speech.tts import CreateTTS, StreamingTTS, TTSEngine, TTSOptions, as_stream
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

ENGINES: Plugins[CreateTTS] = Plugins("agent.tts", "TTS engine")
MODELS: Plugins[NameModel] = Plugins(
    "agent.tts", "TTS engine", attribute="speech_model", default=no_model
)
_NEURAL = "piper"
_log = logging.getLogger(__name__)


def load(name: str, options: TTSOptions, fallback: bool = True) -> TTSEngine:
    """Loads a streaming TTS by the name of its module, or as `livekit_plugin:<name>`.

    With `fallback`, the embedded engine speaks when the loaded one fails, so a call continues
    without the service. If the embedded engine cannot be loaded (it may not know the language, and
    its package may be missing), a warning is logged and there is no fallback. Closing the returned
    engine closes all of them.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError for options that the
    engine cannot work with.
    """
    kind, _, plugin = name.partition(":")
    engine = ENGINES.load(kind)(replace(options, plugin=plugin))
    if kind == _EMBEDDED:  # it starts at once on any text, so it need not wait for a whole sentence
        return StreamingTTS(engine, at_clauses=True)
    return as_stream(engine, _load_spare(options) if fallback else None, options.timeout)


def choose(name: str, options: TTSOptions, *, wants_neural: bool = True) -> Choice:
    """Returns the engine of that name; for `auto`, piper where it can work, else embedded."""
    return choose_engine(
        name,
        _NEURAL,
        lambda engine: speech_model(engine, options),
        wants_neural=wants_neural,
    )


def speech_model(name: str, options: TTSOptions) -> str | None:
    """Names the model that the engine needs in the worker's speech process; None if it needs none.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError if the model is not
    there.
    """
    kind, _, plugin = name.partition(":")
    return MODELS.load(kind)(replace(options, plugin=plugin))


def _load_spare(options: TTSOptions) -> TTSEngine | None:
    try:
        spare = TTSOptions(language=options.language, speed=options.speed, is_spare=True)
        return ENGINES.load(_EMBEDDED)(spare)
    except ConfigurationError as reason:
        _log.warning("the TTS engine has no embedded one as its fallback: %s", reason)
        return None
