"""The worker, `python -m agent.worker start`: takes calls from LiveKit, one process for each."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from livekit.agents import AgentServer, JobContext, JobProcess, telemetry
from livekit.agents.cli.log import setup_logging
from pydantic import SecretStr

from agent import stt, tts
from agent.assistant import Assistant
from agent.load import LoadBoard, LoadTeller, measure_load
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
from agent.tokens import Problem, VoiceServer
from agent.tts.base import TTSOptions
from config.settings import Settings, SettingsError, environment, load_settings
from llm_router import open_router
from llm_router.discovery import find_connections
from llm_router.errors import ConfigurationError
from llm_router.integrations.livekit import RouterLLM
from llm_router.observe import Observer
from llm_router.observe.opentelemetry import OpenTelemetryObserver
from llm_router.observe.prometheus import PrometheusObserver
from llm_router.options import PatienceOptions, RouterOptions
from llm_router.scoreboard.sqlite import SqliteScoreboard

_logger = logging.getLogger("agent")
_FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Variable by which the worker tells its call processes where to leave what it should know: how
full the models are, and what is counted."""
_NOT_THERE_YET = 503


def prewarm(process: JobProcess) -> None:
    """Load, in a process that waits for its call, all that the call would else wait for."""
    settings = load_settings()
    process.userdata["settings"] = settings
    process.userdata["engines"] = _engines(settings)
    process.userdata["phrases"] = load_phrases(settings.phrases_file)
    found = asyncio.run(find_connections(settings.connections_file, environment()))
    process.userdata["connections"] = found.connections
    process.userdata["observers"] = _observers(process, settings)


async def answer(ctx: JobContext) -> None:
    """One call, from the first ring to the last word."""
    kept = ctx.proc.userdata
    settings: Settings = kept["settings"]
    board = _board()
    async with AsyncExitStack() as stack:
        if traces := kept.get("traces"):
            stack.push_async_callback(asyncio.to_thread, traces.shutdown)
        stack.callback(board.forget)
        teller = LoadTeller(board)
        scoreboard = None
        if settings.scoreboard_file:
            scoreboard = SqliteScoreboard(settings.scoreboard_file)
            stack.push_async_callback(scoreboard.aclose)
        router = await stack.enter_async_context(
            open_router(
                kept["connections"],
                policy=settings.router_policy,
                options=_router_options(settings),
                phrases=kept["phrases"],
                observers=[teller, *kept["observers"]],
                scoreboard=scoreboard,
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
            instructions=settings.assistant_prompt_file.read_text(encoding="utf-8"),
            phrases=kept["phrases"],
            language=settings.agent_language,
            filler_after=settings.filler_after,
            greeting=settings.agent_greeting or "",
        )
        await session.start(assistant, room=ctx.room, room_options=room_options())


def build_server(settings: Settings) -> AgentServer:
    server = AgentServer(
        setup_fnc=prewarm,
        load_fnc=measure_load(_board(), settings.worker_load_limit),
        load_threshold=settings.worker_load_limit or float("inf"),
        num_idle_processes=settings.worker_idle_processes,
        job_memory_limit_mb=settings.job_memory_limit_mb,
        drain_timeout=settings.worker_drain_timeout,
        host=settings.worker_host,
        port=settings.worker_port,
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        prometheus_port=settings.prometheus_port,
        prometheus_multiproc_dir=str(_metrics()) if settings.prometheus_port else None,
    )
    server.rtc_session(answer, agent_name=settings.agent_name)
    return server


async def serve(settings: Settings) -> None:
    """Take calls until told to stop; then let those under way end, within the drain timeout.

    A second signal ends the process at once. Raises Problem when LiveKit refuses our keys.
    """
    secret = settings.livekit_api_secret.get_secret_value()
    async with VoiceServer(settings.livekit_url, settings.livekit_api_key, secret) as voice:
        try:
            await voice.check()
        except Problem as problem:
            if problem.status != _NOT_THERE_YET:
                raise
            _logger.warning("%s Waiting for it.", problem.detail)
    server = build_server(settings)
    stop = asyncio.Event()
    _on_signals(stop)
    running = asyncio.create_task(server.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        with contextlib.suppress(TimeoutError):
            await server.drain()
        await server.aclose()
    await running


def _board() -> LoadBoard:
    return LoadBoard(Path(os.environ[_FOLDER]) / "load")


def _metrics() -> Path:
    return Path(os.environ[_FOLDER]) / "metrics"


def _on_signals(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


# ── What the settings mean to those who do not read them ────────────────────────────────────────


def _engines(settings: Settings) -> Engines:
    def secret(value: SecretStr | None) -> str | None:
        return value.get_secret_value() if value else None

    ears = STTOptions(
        language=settings.agent_language,
        model=settings.stt_model or "",
        base_url=settings.stt_base_url or "",
        api_key=secret(settings.stt_api_key),
    )
    voice = TTSOptions(
        language=settings.agent_language,
        model=settings.tts_model or "",
        voice=settings.tts_voice or "",
        base_url=settings.tts_base_url or "",
        api_key=secret(settings.tts_api_key),
    )
    engines = Engines(
        stt=stt.load(settings.stt_engine, ears),
        tts=tts.load(settings.tts_engine, voice),
        vad=load_vad(_turns(settings)),
    )
    engines.stt.prewarm()
    engines.tts.prewarm()
    return engines


def _observers(process: JobProcess, settings: Settings) -> list[Observer]:
    """Those that are asked for; the others cost nothing."""
    observers: list[Observer] = []
    if settings.prometheus_port:
        share_metrics(_metrics())
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
        total=settings.reply_deadline,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.worker",
        description="Takes calls from LiveKit and answers them.",
        epilog="Settings come from the environment and from .env; .env.example lists and explains"
        " them (LIVEKIT_URL, AGENT_NAME, STT_ENGINE, ...).",
    )
    parser.add_argument("command", choices=["start"], help="take calls until stopped (Ctrl-C)")
    parser.parse_args(argv)
    try:
        settings = load_settings()
        setup_logging(settings.log_level, devmode=sys.stderr.isatty(), console=False)
        asyncio.run(_check(settings))
        with tempfile.TemporaryDirectory(prefix="patchbay-worker-") as folder:
            os.environ[_FOLDER] = folder
            if settings.prometheus_port:
                share_metrics(_metrics())
            asyncio.run(serve(settings))
    except (SettingsError, ConfigurationError) as error:
        print(error, file=sys.stderr)  # noqa: T201  what a command line does
        return 2
    except Problem as problem:
        print(f"{problem.title}: {problem.detail}", file=sys.stderr)  # noqa: T201  the same
        return 2
    return 0


async def _check(settings: Settings) -> None:
    """Find out here, once, what every call's process would stumble over.

    Raises ConfigurationError or SettingsError.
    """
    load_phrases(settings.phrases_file)
    if not settings.assistant_prompt_file.is_file():
        raise SettingsError(f"ASSISTANT_PROMPT_FILE: there is no {settings.assistant_prompt_file}")
    _engines(settings)
    found = await find_connections(settings.connections_file, environment())
    async with open_router(found.connections, policy=settings.router_policy):
        """A rehearsal: an unknown policy or provider is found out."""
    for line in found.lines():
        _logger.info("connection %s", line)
    for warning in found.warnings:
        _logger.warning(warning)


if __name__ == "__main__":
    sys.exit(main())
