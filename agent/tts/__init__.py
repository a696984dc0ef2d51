"""Voices: a module here is an engine, found by its name."""

import logging
from dataclasses import replace

from agent.tts.base import CreateEngine, Engine, Speaker, TTSOptions, as_stream
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

ENGINES: Plugins[CreateEngine] = Plugins("agent.tts", "TTS engine")
_EMBEDDED = "embedded"
_log = logging.getLogger(__name__)


def load(name: str, options: TTSOptions, fallback: bool = True) -> Engine:
    """A streaming TTS, called by its module's name, or `livekit_plugin:<name>`.

    Unless it is the embedded engine itself, that one stands behind it, so that a dead service is
    not a dumb agent; without it (a language it does not speak, package not installed) this is said
    in the log. Closing what is returned closes all of it.

    Raises UnknownPluginError, which lists the engines, and ConfigurationError for options the
    engine cannot work with.
    """
    kind, _, plugin = name.partition(":")
    engine = ENGINES.load(kind)(replace(options, plugin=plugin))
    if kind == _EMBEDDED:  # a cut costs it nothing, so it may begin with the first clause
        return Speaker(engine, at_clauses=True)
    return as_stream(engine, _spare(options) if fallback else None, options.timeout)


def _spare(options: TTSOptions) -> Engine | None:
    try:
        return ENGINES.load(_EMBEDDED)(TTSOptions(language=options.language))
    except ConfigurationError as reason:
        _log.warning("no embedded TTS stands behind the chosen one: %s", reason)
        return None
