"""Makes the limits and options of calls and typed conversations from settings and assistant."""

import logging
import socket
from dataclasses import replace
from typing import Any

from agent.budget import CallLimits, lower_limit
from agent.dispatch import SiteTerms
from config.settings import MIN_TURN_SILENCE, Settings
from llm_router.assembly import POLICIES
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
        values["agent_language"], *others = assistant.languages
        values["agent_other_languages"] = tuple(others)
    if values.get("stt_engine", settings.stt_engine) != settings.stt_engine:
        values.setdefault("stt_model", None)
    has_other_engine = values.get("tts_engine", settings.tts_engine) != settings.tts_engine
    language = values.get("agent_language", settings.agent_language)
    if own_voice := assistant.voices.get(language):
        values.setdefault("tts_voice", own_voice)
    if has_other_engine or language != settings.agent_language:
        values.setdefault("tts_model", None)
        values.setdefault("tts_voice", None)
    if values.get("router_policy", settings.router_policy) not in POLICIES.names():
        policy = values.pop("router_policy", "")
        _logger.error(
            "assistant %s: there is no policy %r, so ROUTER_POLICY is used; correct its field"
            " `policy`",
            assistant.name,
            policy,
        )
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


def within(
    assistant: AssistantRecord, terms: SiteTerms | None, settings: Settings
) -> AssistantRecord:
    """Returns the assistant as it answers calls from a site: no longer, and stored as it says."""
    if terms is None:
        return assistant
    longest = settings.call_max_seconds if assistant.max_seconds is None else assistant.max_seconds
    update = {
        "max_seconds": lower_limit(longest, terms.max_seconds),
        "keep": terms.keep or assistant.keep,
        "keep_days": terms.keep_days or assistant.keep_days,
    }
    return assistant.model_copy(update=update)


def call_limits(
    settings: Settings, assistant: AssistantRecord, terms: SiteTerms | None = None
) -> CallLimits:
    limits = CallLimits(
        message_characters=settings.message_max_characters,
        turns_per_minute=settings.turns_per_minute,
        turns=settings.call_max_turns,
        tokens=settings.call_max_tokens,
        cost=lower_limit(settings.call_max_cost, terms.max_cost if terms else 0),
        seconds=settings.call_max_seconds,
        silence=settings.call_silence,
    )
    own = assistant.idle_questions
    return limits if own is None else replace(limits, questions=own)


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
