"""One call and the process it has to itself: what is loaded before it rings, and its life."""

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from livekit.agents import JobContext, JobProcess, telemetry
from pydantic import SecretStr

from agent import stt, tts
from agent.assistant import Assistant
from agent.load import LoadBoard, LoadTeller
from agent.session import (
    Engines,
    RouteNotes,
    TurnOptions,
    build_session,
    load_phrases,
    load_vad,
    room_options,
)
from agent.stt.base import STTOptions
from agent.telemetry import send_traces, share_metrics
from agent.tts.base import TTSOptions
from config.settings import Settings, environment, load_settings
from llm_router import stored_router
from llm_router.integrations.livekit import RouterLLM
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.routing.events import Observer
from llm_router.stored_router import StoreOptions, open_stored_router
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver

FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Variable by which the worker tells its call processes where to leave what it should know: how
full the models are, and what is counted."""


def prewarm(process: JobProcess) -> None:
    """Load, in a process that waits for its call, all that the call would else wait for."""
    settings = load_settings()
    process.userdata["settings"] = settings
    process.userdata["engines"] = load_engines(settings)
    process.userdata["phrases"] = load_phrases(settings.phrases_file)
    process.userdata["instructions"] = settings.assistant_prompt_file.read_text(encoding="utf-8")
    process.userdata["known"] = asyncio.run(stored_router.look(lines(settings), environment()))
    process.userdata["observers"] = _observers(process, settings)


async def answer(ctx: JobContext) -> None:
    """One call, from the first ring to the last word."""
    kept = ctx.proc.userdata
    settings: Settings = kept["settings"]
    board = load_board()
    async with AsyncExitStack() as stack:
        if traces := kept.get("traces"):
            stack.push_async_callback(asyncio.to_thread, traces.shutdown)
        stack.callback(board.forget)
        teller = LoadTeller(board)
        router = await stack.enter_async_context(
            open_stored_router(
                lines(settings),
                kept["known"],
                policy=settings.router_policy,
                options=_router_options(settings),
                phrases=kept["phrases"],
                observers=[teller, *kept["observers"]],
            )
        )
        teller.saturation = router.saturation
        # Its servers' TLS is open by the time the caller has been greeted.
        warming = asyncio.create_task(router.warm())
        stack.push_async_callback(_cancelled, warming)
        llm = RouterLLM(router, session_id=ctx.room.name, language=settings.agent_language)
        session = build_session(llm, kept["engines"], _turns(settings))
        stack.push_async_callback(RouteNotes(session, ctx.room).aclose)
        ctx.add_shutdown_callback(stack.pop_all().aclose)
        assistant = Assistant(
            instructions=kept["instructions"],
            phrases=kept["phrases"],
            language=settings.agent_language,
            filler_after=settings.filler_after,
            greeting=settings.agent_greeting or "",
        )
        await session.start(assistant, room=ctx.room, room_options=room_options())


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


def load_board() -> LoadBoard:
    return LoadBoard(Path(os.environ[FOLDER]) / "load")


def metrics_folder() -> Path:
    return Path(os.environ[FOLDER]) / "metrics"


# ── What the settings mean to those who do not read them ────────────────────────────────────────


def lines(settings: Settings) -> StoreOptions:
    return StoreOptions(
        database=settings.database_url.get_secret_value(),
        master_keys=settings.master_keys,
        master_key_file=settings.encryption_key_file,
        connections_file=settings.connections_file,
        scoreboard=settings.scoreboard_file,
        allowed_addresses=settings.allowed_addresses,
    )


def load_engines(settings: Settings) -> Engines:
    engines = Engines(
        stt=stt.load(settings.stt_engine, stt_options(settings)),
        tts=tts.load(settings.tts_engine, tts_options(settings)),
        vad=load_vad(_turns(settings)),
    )
    engines.stt.prewarm()
    engines.tts.prewarm()
    return engines


def stt_options(settings: Settings) -> STTOptions:
    return STTOptions(
        language=settings.agent_language,
        model=settings.stt_model or "",
        base_url=settings.stt_base_url or "",
        api_key=_secret(settings.stt_api_key),
    )


def tts_options(settings: Settings) -> TTSOptions:
    return TTSOptions(
        language=settings.agent_language,
        model=settings.tts_model or "",
        voice=settings.tts_voice or "",
        base_url=settings.tts_base_url or "",
        api_key=_secret(settings.tts_api_key),
    )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _observers(process: JobProcess, settings: Settings) -> list[Observer]:
    """Those that are asked for; the others cost nothing."""
    observers: list[Observer] = []
    if settings.prometheus_port:
        share_metrics(metrics_folder())
        observers.append(PrometheusObserver())
    if settings.otel_exporter_otlp_endpoint:
        process.userdata["traces"] = send_traces(settings.otel_exporter_otlp_endpoint)
        observers.append(OpenTelemetryObserver(telemetry.tracer))
    return observers


def _turns(settings: Settings) -> TurnOptions:
    return TurnOptions(
        detection=settings.turn_detection,
        vad_engine=settings.vad_engine,
        min_silence=settings.vad_min_silence,
        min_delay=settings.endpointing_min_delay,
        max_delay=settings.endpointing_max_delay,
        preemptive=settings.preemptive_generation,
    )


def _router_options(settings: Settings) -> RouterOptions:
    return RouterOptions(
        patience=PatienceOptions(
            shortest=settings.first_word_deadline_min, longest=settings.first_word_deadline_max
        ),
        hedge_budget=settings.hedge_budget,
        queue_poll=settings.queue_poll,
        total=settings.reply_deadline,
    )
