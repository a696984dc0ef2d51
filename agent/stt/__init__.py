"""Loads speech-to-text engines; each module here is an engine, found by its name.

What engines share belongs to `agent.speech`: engines do not import each other.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from agent.speech.choice import EMBEDDED as _EMBEDDED
from agent.speech.choice import Choice
from agent.speech.choice import choose as choose_engine
from agent.speech.engine import NameModel, no_model
from agent.speech.stt import (
    CreateSTT,
    NameMissing,
    STTEngine,
    STTOptions,
    all_missing,
    as_stream,
)
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

ENGINES: Plugins[CreateSTT] = Plugins("agent.stt", "STT engine")
MODELS: Plugins[NameModel] = Plugins(
    "agent.stt", "STT engine", attribute="speech_model", default=no_model
)
LANGUAGES: Plugins[NameMissing] = Plugins(
    "agent.stt", "STT engine", attribute="missing_languages", default=all_missing
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


def missing_languages(name: str, options: STTOptions) -> Mapping[str, str]:
    """Returns the languages to which callers cannot change with the engine, each with the reason.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError if the engine cannot
    work.
    """
    kind, _, plugin = name.partition(":")
    return LANGUAGES.load(kind)(replace(options, plugin=plugin))


def _load_spare(options: STTOptions) -> STTEngine | None:
    try:
        spare = STTOptions(language=options.language, others=options.others, is_spare=True)
        return ENGINES.load(_EMBEDDED)(spare)
    except ConfigurationError as reason:
        _log.warning("the STT engine has no embedded one as its fallback: %s", reason)
        return None
