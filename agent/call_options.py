"""Makes the options of a call's parts from the settings."""

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent import stt, tts
from agent.call_settings import settings_of
from agent.phrase_file import load_phrases
from agent.receptionist.desk import DeskOptions
from agent.session import Engines, TurnOptions, load_vad
from agent.speech.choice import Choice
from agent.speech.engine import import_engine
from agent.speech.models import default_folder
from agent.speech.stt import STTEngine, STTOptions
from agent.speech.tts import TTSEngine, TTSOptions
from config.field_types import is_this_machine
from config.settings import EngineSettings, Settings
from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import AssistantRecord

_logger = logging.getLogger("agent")


def settings_by_language(settings: Settings, assistant: AssistantRecord) -> Mapping[str, Settings]:
    """Returns the settings of the voices to which a call changes with its caller, by language.

    `settings` are those of the call.
    """
    return {
        language: settings.model_copy(
            update={
                "agent_language": language,
                "tts_model": settings.tts_model if _is_multilingual(settings) else None,
                "tts_voice": assistant.voices.get(language),
            }
        )
        for language in settings.agent_other_languages
        if language != settings.agent_language
    }


def _is_multilingual(settings: Settings) -> bool:
    """Returns whether the voice's model is a service's: one of this machine speaks a language."""
    return settings.tts_engine.partition(":")[0] in {"openai", "livekit_plugin", "kokoro"}


def load_engines(settings: Settings) -> Engines:
    """Loads the speech engines. Raises ConfigurationError if one cannot work."""
    return Engines(
        stt=_load_stt(settings),
        tts=load_tts(settings),
        vad=load_vad(turn_options(settings)),
    )


def needs_other_engines(settings: Settings, loaded: Settings) -> bool:
    """Returns whether a call with `settings` needs engines that those of `loaded` are not."""
    return any(part(settings) != part(loaded) for part in (_stt_part, _tts_part, _vad_part))


def import_engines(settings: Settings) -> None:
    """Imports the modules of the engines: LiveKit lets the main thread alone import its plugins.

    A module that cannot be imported is left to `load_other_engines` to report.
    """
    with suppress(ConfigurationError):
        import_engine(stt.ENGINES, "STT", choose_stt(settings).engine)
    with suppress(ConfigurationError):
        import_engine(tts.ENGINES, "TTS", choose_tts(settings).engine)
    if settings.vad_engine == "silero":
        with suppress(ImportError):
            importlib.import_module("livekit.plugins.silero")


def engine_modules(settings: Settings) -> list[str]:
    """Names the modules of the engines."""
    chosen = {stt: choose_stt(settings).engine, tts: choose_tts(settings).engine}
    return [f"{kind.__name__}.{name.partition(':')[0]}" for kind, name in chosen.items()]


def load_other_engines(settings: Settings, loaded: Settings, engines: Engines) -> Engines:
    """Loads the engines in which `settings` differ from `loaded`, whose `engines` are ready.

    One that cannot work is logged, and the ready one takes its place. It takes a while, and may run
    in another thread once `import_engines` has imported them.
    """

    def load(name: str, part: Callable[[Settings], Any], load: Callable[[Settings], Any]) -> Any:
        if part(settings) != part(loaded):
            try:
                return load(settings)
            except ConfigurationError as error:
                _logger.error("a call uses the usual engine: %s", error)  # noqa: TRY400  the message says it all
            except Exception as error:  # noqa: BLE001  a vendor's own: the usual engine beats no call
                kind = type(error).__name__
                _logger.error("a call uses the usual engine: %s raised %s", name, kind)  # noqa: TRY400  its message may hold a key
        return getattr(engines, name)

    return Engines(
        stt=load("stt", _stt_part, _load_stt),
        tts=load("tts", _tts_part, load_tts),
        vad=load("vad", _vad_part, lambda other: load_vad(turn_options(other))),
    )


def _load_stt(settings: Settings) -> STTEngine:
    choice = choose_stt(settings)
    with choice.explained():
        return stt.load(choice.engine, stt_options(settings))


def load_tts(settings: Settings) -> TTSEngine:
    """Loads the voice of these settings. Raises ConfigurationError if it cannot work."""
    choice = choose_tts(settings)
    with choice.explained():
        return tts.load(choice.engine, tts_options(settings))


def _stt_part(settings: Settings) -> tuple[Any, ...]:
    return settings.stt_engine, settings.voice, stt_options(settings)


def _tts_part(settings: Settings) -> tuple[Any, ...]:
    return settings.tts_engine, settings.voice, tts_options(settings)


def _vad_part(settings: Settings) -> tuple[Any, ...]:
    return settings.vad_engine, settings.vad_min_silence


def all_speech_models(settings: Settings, assistants: Iterable[AssistantRecord]) -> tuple[str, ...]:
    """Names the models that calls may need in the worker's speech process, each once.

    A model of an assistant that is not there is logged. Raises ConfigurationError if one of the
    settings is not there.
    """
    found = dict.fromkeys(speech_models(settings))
    for assistant in assistants:
        if fault := missing_speech(settings, assistant):
            _logger.error("assistant %s: %s", assistant.name, fault)
        else:
            own = settings_of(settings, assistant)
            found |= dict.fromkeys(speech_models(own))
            found |= dict.fromkeys(_other_voice_models(own, assistant))
    return tuple(found)


def _other_voice_models(settings: Settings, assistant: AssistantRecord) -> list[str]:
    """Names the models of the voices to which a call of the assistant may change."""
    models: list[str | None] = []
    for language, other in settings_by_language(settings, assistant).items():
        try:
            models.append(tts.speech_model(choose_tts(other).engine, tts_options(other)))
        except ConfigurationError as error:
            _logger.error("assistant %s in %s: %s", assistant.name, language, error)  # noqa: TRY400  the message says it all
    return [*filter(None, models)]


def missing_speech(settings: Settings, assistant: AssistantRecord) -> str:
    """Returns why an engine of the assistant cannot work; empty if nothing is known to be wrong."""
    try:
        speech_models(settings_of(settings, assistant))
    except ConfigurationError as error:
        return str(error)
    return ""


def desk_options(settings: Settings) -> DeskOptions:
    """Makes the receptionist's options. Raises ConfigurationError for a wrong phrase file."""
    return DeskOptions(
        agent_name=settings.agent_name,
        language=settings.agent_language,
        phrases=load_phrases(settings.phrases_file),
        calls=settings.max_calls,
        longest_wait=settings.queue_max_wait,
    )


def speech_models(settings: Settings) -> tuple[str, ...]:
    """Names the models that the engines need in the worker's speech process, mostly none.

    Raises ConfigurationError if one is not there.
    """
    named = (
        tts.speech_model(choose_tts(settings).engine, tts_options(settings)),
        stt.speech_model(choose_stt(settings).engine, stt_options(settings)),
    )
    return tuple(filter(None, named))


def http_proxy(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """Returns the proxy for the worker and its calls: none if LiveKit runs on this machine."""
    if is_this_machine(urlsplit(settings.livekit_url).hostname or ""):
        return None
    return environ.get("HTTPS_PROXY") or environ.get("HTTP_PROXY")


def choose_stt(settings: Settings | EngineSettings) -> Choice:
    """Returns the STT engine to use, and what the neural one lacks if that is why."""
    wants_neural = settings.voice != "espeak"
    return stt.choose(settings.stt_engine, stt_options(settings), wants_neural=wants_neural)


def choose_tts(settings: Settings | EngineSettings) -> Choice:
    """Returns the TTS engine to use, and what the neural one lacks if that is why."""
    wants_neural = settings.voice != "espeak"
    return tts.choose(settings.tts_engine, tts_options(settings), wants_neural=wants_neural)


def stt_options(settings: Settings | EngineSettings) -> STTOptions:
    return STTOptions(
        language=settings.agent_language,
        others=settings.agent_other_languages,
        model=settings.stt_model or "",
        models_folder=settings.models_folder or default_folder(),
        base_url=settings.stt_base_url or "",
        api_key=_secret(settings.stt_api_key),
    )


def tts_options(settings: Settings | EngineSettings) -> TTSOptions:
    return TTSOptions(
        language=settings.agent_language,
        model=settings.tts_model or "",
        models_folder=settings.models_folder or default_folder(),
        voice=settings.tts_voice or "",
        speed=settings.tts_speed,
        base_url=settings.tts_base_url or "",
        api_key=_secret(settings.tts_api_key),
    )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def turn_options(settings: Settings) -> TurnOptions:
    return TurnOptions(
        detection=settings.turn_detection,
        vad_engine=settings.vad_engine,
        min_silence=settings.vad_min_silence,
        min_delay=settings.endpointing_min_delay,
        max_delay=settings.endpointing_max_delay,
        preemptive=settings.preemptive_generation,
    )
