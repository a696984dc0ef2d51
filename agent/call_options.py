"""Makes the options of a call's parts from the settings."""

import importlib
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent import stt, tts
from agent.budget import CallLimits
from agent.phrase_file import load_phrases
from agent.receptionist.desk import DeskOptions
from agent.session import Engines, TurnOptions, load_vad
from agent.speech.choice import Choice
from agent.speech.models import default_folder
from agent.speech.stt import STTEngine, STTOptions
from agent.speech.tts import TTSEngine, TTSOptions
from config.field_types import is_this_machine
from config.settings import MIN_TURN_SILENCE, Settings
from llm_router.assembly import POLICIES
from llm_router.errors import ConfigurationError
from llm_router.options import PatienceOptions, ReplyLimits, RouterOptions
from llm_router.stored_router import StoreOptions
from llm_router.voice.assistant import AssistantRecord

_logger = logging.getLogger("agent")
_SETTING_OF = {
    "greeting": "agent_greeting",
    "stt": "stt_engine",
    "stt_model": "stt_model",
    "tts": "tts_engine",
    "tts_model": "tts_model",
    "voice": "tts_voice",
    "speed": "tts_speed",
    "turn_detection": "turn_detection",
    "vad_engine": "vad_engine",
    "vad_min_silence": "vad_min_silence",
    "endpointing_min_delay": "endpointing_min_delay",
    "endpointing_max_delay": "endpointing_max_delay",
    "preemptive_generation": "preemptive_generation",
    "filler_after": "filler_after",
    "policy": "router_policy",
    "max_seconds": "call_max_seconds",
    "idle_after": "call_silence",
}
"""The setting whose place a field of an assistant takes."""


def worker_name(settings: Settings) -> str:
    """Returns the worker's name among all workers: its machine and its port."""
    return f"{socket.gethostname()} {settings.worker_port}"


def store_options(settings: Settings) -> StoreOptions:
    return StoreOptions(
        database=settings.database_url.get_secret_value(),
        master_keys=settings.master_keys,
        master_key_file=settings.encryption_key_file,
        connections_file=settings.connections_file,
        scoreboard=settings.scoreboard_file,
        offline_responder=settings.offline_responder,
        allowed_addresses=settings.allowed_addresses,
    )


def settings_of(settings: Settings, assistant: AssistantRecord) -> Settings:
    """Returns the settings of a call that this assistant answers: its own values before all.

    The model and the voice of another engine, or of another language, do not fit the assistant's:
    where it names none, its engine chooses.
    """
    own = {setting: getattr(assistant, name) for name, setting in _SETTING_OF.items()}
    values: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
    if assistant.languages:
        values["agent_language"] = assistant.languages[0]
    if values.get("stt_engine", settings.stt_engine) != settings.stt_engine:
        values.setdefault("stt_model", None)
    has_other_engine = values.get("tts_engine", settings.tts_engine) != settings.tts_engine
    language = values.get("agent_language", settings.agent_language)
    if has_other_engine or language != settings.agent_language:
        values.setdefault("tts_model", None)
        values.setdefault("tts_voice", None)
    if values.get("router_policy", settings.router_policy) not in POLICIES.names():
        policy = values.pop("router_policy", "")
        _logger.error("assistant %s: there is no policy %r", assistant.name, policy)
    return _turns_in_order(settings.model_copy(update=values))


def _turns_in_order(settings: Settings) -> Settings:
    """Returns the settings with waits that go together: an assistant may name one of two."""
    silence = settings.vad_min_silence
    if settings.turn_detection == "v1-mini":
        silence = max(silence, MIN_TURN_SILENCE)
    longest = max(settings.endpointing_max_delay, settings.endpointing_min_delay)
    return settings.model_copy(
        update={"vad_min_silence": silence, "endpointing_max_delay": longest}
    )


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
        stt.import_engine(choose_stt(settings).engine)
    with suppress(ConfigurationError):
        tts.import_engine(choose_tts(settings).engine)
    if settings.vad_engine == "silero":
        with suppress(ImportError):
            importlib.import_module("livekit.plugins.silero")


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
                _logger.error("the usual engine takes a call: %s", error)  # noqa: TRY400  the message says it all
            except Exception as error:  # noqa: BLE001  a vendor's own: the usual engine beats no call
                kind = type(error).__name__
                _logger.error("the usual engine takes a call: %s raised %s", name, kind)  # noqa: TRY400  its message may hold a key
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
            found |= dict.fromkeys(speech_models(settings_of(settings, assistant)))
    return tuple(found)


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


def choose_stt(settings: Settings) -> Choice:
    """Returns the STT engine to use, and what the neural one lacks if that is why."""
    wants_neural = settings.voice != "espeak"
    return stt.choose(settings.stt_engine, stt_options(settings), wants_neural=wants_neural)


def choose_tts(settings: Settings) -> Choice:
    """Returns the TTS engine to use, and what the neural one lacks if that is why."""
    wants_neural = settings.voice != "espeak"
    return tts.choose(settings.tts_engine, tts_options(settings), wants_neural=wants_neural)


def stt_options(settings: Settings) -> STTOptions:
    return STTOptions(
        language=settings.agent_language,
        model=settings.stt_model or "",
        models_folder=settings.models_folder or default_folder(),
        base_url=settings.stt_base_url or "",
        api_key=_secret(settings.stt_api_key),
    )


def tts_options(settings: Settings) -> TTSOptions:
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


def call_limits(settings: Settings, assistant: AssistantRecord) -> CallLimits:
    limits = CallLimits(
        message_characters=settings.message_max_characters,
        turns_per_minute=settings.turns_per_minute,
        turns=settings.call_max_turns,
        tokens=settings.call_max_tokens,
        cost=settings.call_max_cost,
        seconds=settings.call_max_seconds,
        silence=settings.call_silence,
    )
    own = assistant.idle_questions
    return limits if own is None else replace(limits, questions=own)


def turn_options(settings: Settings) -> TurnOptions:
    return TurnOptions(
        detection=settings.turn_detection,
        vad_engine=settings.vad_engine,
        min_silence=settings.vad_min_silence,
        min_delay=settings.endpointing_min_delay,
        max_delay=settings.endpointing_max_delay,
        preemptive=settings.preemptive_generation,
    )


def router_options(settings: Settings) -> RouterOptions:
    return RouterOptions(
        patience=PatienceOptions(
            shortest=settings.first_word_deadline_min, longest=settings.first_word_deadline_max
        ),
        limits=ReplyLimits(speech=settings.reply_max_seconds, tokens=settings.reply_max_tokens),
        hedge_budget=settings.hedge_budget,
        voice_speed=settings.tts_speed,
        queue_poll=settings.queue_poll,
        total=settings.reply_deadline,
    )
