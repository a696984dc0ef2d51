"""Loads speech-to-text engines; each module here is an engine, found by its name.

What engines share belongs to `agent.speech`: engines do not import each other.
"""

import logging
from dataclasses import replace

from agent.speech.choice import EMBEDDED as _EMBEDDED
from agent.speech.choice import Choice
from agent.speech.choice import choose as choose_engine
from agent.speech.engine import NameModel, import_plugin, no_model
from agent.speech.stt import CreateSTT, STTEngine, STTOptions, as_stream
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

ENGINES: Plugins[CreateSTT] = Plugins("agent.stt", "STT engine")
MODELS: Plugins[NameModel] = Plugins(
    "agent.stt", "STT engine", attribute="speech_model", default=no_model
)
_NEURAL = "whisper"
_log = logging.getLogger(__name__)


def load(name: str, options: STTOptions, fallback: bool = True) -> STTEngine:
    """Loads a streaming STT by the name of its module, or as `livekit_plugin:<name>`.

    With `fallback`, the embedded engine takes over when the loaded one fails, so a call continues
    without the service. If the embedded engine cannot be loaded (it knows only English, and its
    package may be missing), a warning is logged and there is no fallback. Closing the returned
    engine closes all of them.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError for options that the
    engine cannot work with.
    """
    kind, _, plugin = name.partition(":")
    engine = ENGINES.load(kind)(replace(options, plugin=plugin))
    spare = _load_spare(options) if fallback and kind != _EMBEDDED else None
    return as_stream(engine, spare, options.timeout)


def import_engine(name: str) -> None:
    """Imports the engine, and its LiveKit plugin if it has one: on the main thread, as that asks.

    Raises UnknownPluginError and ConfigurationError, as `load` does.
    """
    kind, _, plugin = name.partition(":")
    ENGINES.load(kind)
    if plugin:
        import_plugin("STT", plugin)


def choose(name: str, options: STTOptions, *, wants_neural: bool = True) -> Choice:
    """Returns the engine of that name; for `auto`, whisper where it can work, else embedded.

    Where `options` name a model, it is whisper's: loading it says what is wrong with the name.
    """
    return choose_engine(
        name,
        _NEURAL,
        lambda engine: speech_model(engine, options),
        wants_neural=wants_neural,
        is_named=bool(options.model),
    )


def speech_model(name: str, options: STTOptions) -> str | None:
    """Names the model that the engine needs in the worker's speech process; None if it needs none.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError if the model is not
    there.
    """
    kind, _, plugin = name.partition(":")
    return MODELS.load(kind)(replace(options, plugin=plugin))


def _load_spare(options: STTOptions) -> STTEngine | None:
    try:
        return ENGINES.load(_EMBEDDED)(STTOptions(language=options.language, is_spare=True))
    except ConfigurationError as reason:
        _log.warning("the STT engine has no embedded one as its fallback: %s", reason)
        return None
