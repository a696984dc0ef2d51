"""Ears: a module here is an engine, found by its name."""

import logging
from dataclasses import replace

from agent.stt.base import CreateEngine, Engine, STTOptions, as_stream
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

ENGINES: Plugins[CreateEngine] = Plugins("agent.stt", "STT engine")
_EMBEDDED = "embedded"
_log = logging.getLogger(__name__)


def load(name: str, options: STTOptions, fallback: bool = True) -> Engine:
    """A streaming STT, called by its module's name, or `livekit_plugin:<name>`.

    Unless it is the embedded engine itself, that one stands behind it, so that a dead service is
    not a deaf agent; without it (another language than English, package not installed) this is
    said in the log. Closing what is returned closes all of it.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError for options the
    engine cannot work with.
    """
    kind, _, plugin = name.partition(":")
    engine = ENGINES.load(kind)(replace(options, plugin=plugin))
    spare = _spare(options) if fallback and kind != _EMBEDDED else None
    return as_stream(engine, spare, options.timeout)


def _spare(options: STTOptions) -> Engine | None:
    try:
        return ENGINES.load(_EMBEDDED)(STTOptions(language=options.language))
    except ConfigurationError as reason:
        _log.warning("no embedded STT stands behind the chosen one: %s", reason)
        return None
