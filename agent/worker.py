"""Runs the worker, `python -m agent.worker start`: one process for each call that LiveKit sends."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from livekit.agents import AgentServer, JobRequest

from agent import call_options, call_settings, job, prewarm, receptionist_process
from agent.dispatch import Dispatch
from agent.health import health_server
from agent.livekit_server import LiveKitError, LiveKitUnavailableError
from agent.phrase_file import load_phrases, load_prompt
from agent.presence import calls_if_another_dies, has_free_worker, worker_present
from agent.receptionist.processes import CallProcesses
from agent.receptionist.queue import reception_name
from agent.receptionist.supervisor import receptionist
from agent.rescues import livekit_server, make_rescuer
from agent.session import check_loops_less_often
from agent.speech.process.supervisor import worker_speech
from agent.starts import StartFailures
from agent.stop_signals import handle_signals
from agent.survival.call_watch import call_watch
from agent.survival.requests import CallRequests
from agent.survival.worker_watch import WorkerWatch
from agent.telemetry import share_metrics
from agent.tools import USUAL
from agent.worker_folder import (
    FOLDER,
    abandoned_boxes,
    black_box,
    black_box_of_any,
    call_starts,
    load_board,
    metrics_folder,
    worker_folder,
)
from agent.worker_load import measure_load
from agent.worker_log import prepare_log
from config.settings import Settings, load_settings
from llm_router import open_router, stored_router
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError, StoreError
from llm_router.settings.loading import SettingsError, environment, export_variables
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.voice.workers import WorkerLoad

_logger = logging.getLogger("agent")
Accept = Callable[[JobRequest], Awaitable[None]]
_Started = Literal["worker_started", "worker_registered"]
CAME_UP = "A call process came up and made a sound. It takes calls: python -m agent.worker start"
_OTHERS_CHECKED_EVERY = 1.0
"""Seconds between checks whether another worker has a place for this one's calls."""
PRELOADED = (
    "agent.job",
    "agent.receptionist_process",
    "llm_router.providers.openai_compatible",
    *(f"agent.tools.{name}" for name in USUAL),
)
"""Modules that LiveKit's fork server imports, once for all call processes: each of them would take
more than a second of a processor for it. Not this one, which they run as their main module."""
_WARM_UP_TIMEOUT = 60.0
"""Seconds in which a call process must have loaded its resources; a busy machine needs long."""


def build_server(settings: Settings, accept: Accept | None = None) -> AgentServer:
    """Makes LiveKit's worker. `accept` is asked before each call; None: every call is accepted."""
    server = AgentServer(
        setup_fnc=prewarm.prewarm,
        preload_modules=[*PRELOADED, *call_options.engine_modules(settings)],
        load_fnc=measure_load(load_board(), call_starts(), settings.worker_load_limit),
        load_threshold=settings.worker_load_limit or float("inf"),
        num_idle_processes=settings.worker_idle_processes,
        job_memory_limit_mb=settings.job_memory_limit_mb,
        drain_timeout=settings.worker_drain_timeout,
        initialize_process_timeout=_WARM_UP_TIMEOUT,
        host="127.0.0.1",
        port=0,  # any free one, for `agent.health` alone
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        http_proxy=call_options.http_proxy(settings, environment()),
        prometheus_port=settings.prometheus_port,
        prometheus_multiproc_dir=str(metrics_folder()) if settings.prometheus_port else None,
    )
    server.rtc_session(job.answer, agent_name=settings.agent_name, on_request=accept)
    return server


async def serve(settings: Settings, *, hands_over: bool = False) -> None:
    """Takes calls until a signal comes, then waits up to the drain timeout for open calls to end.

    `hands_over`: SIGTERM has them handed to other workers. A second signal ends the process at
    once. Raises LiveKitRefusedError if LiveKit refuses the keys, and ConfigurationError if the
    first call process does not come up or the port of the health checks is taken. A LiveKit that is
    away is waited for, but in the demo LiveKitUnavailableError is raised.
    """
    async with livekit_server(settings) as livekit:
        try:
            await livekit.check()
        except LiveKitUnavailableError as error:
            if settings.demo:
                raise
            _logger.warning("%s Waiting for it.", error)
    processes = CallProcesses(SystemClock(), settings.worker_idle_processes)
    requests = CallRequests(
        settings.agent_name, call_settings.worker_name(settings), SystemClock(), processes.accept
    )
    server = build_server(settings, requests.answer)
    stop, leaving = asyncio.Event(), asyncio.Event()
    handle_signals(stop, leaving, hands_over=hands_over)
    registered = asyncio.Event()
    server.once("worker_registered", lambda *_: registered.set())
    health = health_server(
        settings.worker_host,
        settings.worker_port,
        call_starts(),
        lambda: server.worker_info.http_port,
        registered.is_set,
        metrics_port=settings.prometheus_port,
    )
    async with health, _open_database(settings) as database:
        requests.calls = CallStore(database)
        running = asyncio.create_task(server.run())
        await _until_up(server, "worker_registered", running, stop)
        async with _watching(server, requests, settings, database) as watch:
            await _take_calls(server, running, stop, settings, database, processes=processes)
            if not running.done():
                await _drain(server, watch, leaving, settings, database)
    if not running.done():
        await server.aclose()
    try:
        await running
    except RuntimeError as error:  # raised after LiveKit did not answer in many attempts
        raise LiveKitUnavailableError(f"{error}; start the worker again once it answers") from error


async def _take_calls(
    server: AgentServer,
    running: "asyncio.Task[None]",
    stop: asyncio.Event,
    settings: Settings,
    database: Database,
    *,
    processes: CallProcesses,
) -> None:
    """Reports the worker as present until `stop` is set or it ends."""
    starts = call_starts()
    present = worker_present(
        database,
        settings.agent_name,
        SystemClock(),
        lambda: not starts.is_failing,
        worker=call_settings.worker_name(settings),
        load=lambda: WorkerLoad(
            calls=len(server.active_jobs),
            load=server._worker_load,  # noqa: SLF001  LiveKit's own measure, which it publishes only over HTTP
            limit=settings.worker_load_limit,
            ready=processes.idle,
        ),
    )
    livekit = livekit_server(settings)

    async def cover(room: str) -> None:
        try:
            # It leaves by itself if another one is there: to ask first would take as long again.
            await livekit.call_agent(room, reception_name(settings.agent_name), Dispatch())
        except LiveKitError as error:
            _logger.warning("the receptionist could not be called to %s: %s", room, error)

    async def elsewhere() -> int:
        try:
            name = call_settings.worker_name(settings)
            return await calls_if_another_dies(database, settings.agent_name, name, SystemClock())
        except StoreError:
            return 0  # which is logged by others

    async with (
        livekit,
        receptionist(receptionist_process.run, SystemClock()),
        present,  # no longer than the receptionist: it takes its time to end
        processes.watched(server, cover, elsewhere),
    ):
        await _first_of(running, stop)


@contextlib.asynccontextmanager
async def _watching(
    server: AgentServer, requests: CallRequests, settings: Settings, database: Database
) -> AsyncIterator[WorkerWatch]:
    """Rescues calls during the block: those of this worker's processes, and those of others."""
    calls, clock = CallStore(database), SystemClock()
    async with livekit_server(settings) as livekit:
        rescuer = make_rescuer(settings, livekit, calls)
        watch = WorkerWatch(
            server,
            requests,
            calls,
            rescuer,
            boxes=black_box,
            clock=clock,
            worker=call_settings.worker_name(settings),
        )
        others = call_watch(
            calls,
            rescuer,
            settings.agent_name,
            clock,
            black_box_of_any,
            abandoned=abandoned_boxes,
        )
        async with watch, others:
            yield watch


async def _drain(
    server: AgentServer,
    watch: WorkerWatch,
    leaving: asyncio.Event,
    settings: Settings,
    database: Database,
) -> None:
    """Takes no more calls, and waits up to the drain timeout for those that there are.

    Once `leaving` is set they are handed to other workers, as long as one of those has a place.
    """

    async def hand_over() -> None:
        await leaving.wait()
        clock = SystemClock()
        while True:
            try:
                watch.is_handing_over = await has_free_worker(database, settings.agent_name, clock)
            except StoreError as error:
                _logger.warning("calls stay here until the database answers: %s", error)
            await clock.sleep(_OTHERS_CHECKED_EVERY)

    handing_over = asyncio.create_task(hand_over(), name="calls handed over")
    try:
        with contextlib.suppress(TimeoutError):
            await server.drain()
    finally:
        handing_over.cancel()
        await asyncio.wait({handing_over})


async def try_call_process(settings: Settings) -> None:
    """Starts one call process, in which the engines speak and hear, and ends it.

    It takes no call. Raises ConfigurationError, with the reason, if the process does not come up.
    """
    alone = {"worker_idle_processes": 1, "prometheus_port": None}
    server = build_server(settings.model_copy(update=alone))
    running = asyncio.create_task(server.run(unregistered=True))
    await _until_up(server, "worker_started", running, asyncio.Event())
    await server.aclose()
    await running


async def _until_up(
    server: AgentServer, event: _Started, running: "asyncio.Task[None]", stop: asyncio.Event
) -> None:
    """Waits until the server emits `event`, which it does after its call processes came up.

    Returns early if it ends or `stop` is set. Raises ConfigurationError, and cancels the server, if
    the first call process does not come up.
    """
    up = asyncio.Event()
    server.once(event, lambda *_: up.set())
    failures = StartFailures(call_starts())
    logging.getLogger("livekit.agents").addFilter(failures)
    await _first_of(running, up, stop, failures.never_up)
    if failures.never_up.is_set():
        running.cancel()
        await asyncio.wait({running})
        raise ConfigurationError(failures.reason)


async def _first_of(running: "asyncio.Task[None]", *events: asyncio.Event) -> None:
    """Returns when the server has ended or one of the events is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({running, *waits}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


@contextlib.asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database_url.get_secret_value(), max_connections=2)
    try:
        yield database
    finally:
        await database.aclose()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.worker",
        description="Takes calls from LiveKit and answers them.",
        epilog="Settings come from the environment and from .env; .env.example lists and explains"
        " them (LIVEKIT_URL, AGENT_NAME, STT_ENGINE, ...).",
    )
    parser.add_argument(
        "command",
        choices=["start", "try"],
        help="start: take calls until stopped (Ctrl-C); try: start one call process, let the speech"
        " engines speak and hear in it, and end",
    )
    parser.add_argument(
        "--hand-over",
        action="store_true",
        help="with start: on SIGTERM, hand each call to another worker in a pause of its"
        " conversation, as on SIGUSR1; calls for which no other worker has a place go on here until"
        " they end",
    )
    chosen = parser.parse_args(argv)
    try:
        note = export_variables()
        settings = load_settings()
        prepare_log(settings.log_level, settings.log_format)  # it writes call processes' lines, too
        if note:
            _logger.info(note)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every check for migrations
        with worker_folder() as folder:
            os.environ[FOLDER] = str(folder)
            check_loops_less_often()
            takes_calls = chosen.command == "start"
            asyncio.run(
                _run(settings, folder, takes_calls=takes_calls, hands_over=chosen.hand_over)
            )
            if not takes_calls:
                print(CAME_UP)  # noqa: T201  the answer of a command line
    except (SettingsError, ConfigurationError, LiveKitError) as error:
        print(error, file=sys.stderr)  # noqa: T201  a command line reports its errors there
        return 2
    return 0


async def _run(settings: Settings, folder: Path, *, takes_calls: bool, hands_over: bool) -> None:
    """Checks the settings while the speech process loads its models, then takes calls or tries.

    To take calls it also makes or migrates the database.
    """
    if takes_calls:
        await stored_router.prepare_database(call_settings.store_options(settings))
    known = await prewarm.load_assistants(settings)
    models = call_options.all_speech_models(settings, known.all.values())
    async with worker_speech(models, folder, SystemClock()) as speech:
        await _check(settings)
        if settings.prometheus_port:
            share_metrics(metrics_folder())
        if speech:  # the first call process rehearses with it
            await speech.tried()
        if takes_calls:
            await serve(settings, hands_over=hands_over)
        else:
            await try_call_process(settings)


async def _check(settings: Settings) -> None:
    """Checks the settings once, here, before every call's process would fail on them.

    Raises ConfigurationError or SettingsError.
    """
    load_phrases(settings.phrases_file)
    load_prompt(settings.assistant_prompt_file)
    _logger.info(
        "Speech: STT %s, TTS %s",
        call_options.choose_stt(settings),
        call_options.choose_tts(settings),
    )
    await call_options.load_engines(settings).aclose()
    options = call_settings.store_options(settings)
    known = await stored_router.load_known(options, environment())
    async with open_router(known.found.connections, policy=settings.router_policy):
        """Opened and closed only to find an unknown policy or provider."""
    for line in known.selected.describe():
        _logger.info("connection %s", line)
    for warning in known.selected.warnings:
        _logger.warning(warning)
    for unused in await stored_router.load_unused(options, known):
        _logger.info("%s", unused)


if __name__ == "__main__":
    sys.exit(main())
