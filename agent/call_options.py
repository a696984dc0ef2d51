"""Makes the options of a call's parts from the settings."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent import stt, tts
from agent.budget import CallLimits
from agent.session import Engines, TurnOptions, load_vad
from agent.speech.choice import Choice
from agent.speech.models import default_folder
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from config.field_types import is_this_machine
from config.settings import Settings
from llm_router.options import PatienceOptions, ReplyLimits, RouterOptions
from llm_router.stored_router import StoreOptions


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


def load_engines(settings: Settings) -> Engines:
    """Loads the speech engines. Raises ConfigurationError if one cannot work."""
    listening, speaking = choose_stt(settings), choose_tts(settings)
    with listening.explained():
        ear = stt.load(listening.engine, stt_options(settings))
    with speaking.explained():
        voice = tts.load(speaking.engine, tts_options(settings))
    return Engines(
        stt=ear,
        tts=voice,
        vad=load_vad(turn_options(settings)),
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


def call_limits(settings: Settings) -> CallLimits:
    return CallLimits(
        message_characters=settings.message_max_characters,
        turns_per_minute=settings.turns_per_minute,
        turns=settings.call_max_turns,
        tokens=settings.call_max_tokens,
        cost=settings.call_max_cost,
        seconds=settings.call_max_seconds,
        silence=settings.call_silence,
    )


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
