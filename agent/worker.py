"""Runs the worker, `python -m agent.worker start`: one process for each call that LiveKit sends."""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from urllib.parse import urlsplit

from livekit.agents import AgentServer
from livekit.agents.cli.log import setup_logging
from livekit.agents.types import NOT_GIVEN

from agent import job
from agent.livekit_server import LiveKitRefusedError, LiveKitServer, LiveKitUnavailableError
from agent.load import measure_load
from agent.phrase_file import load_phrases
from agent.telemetry import share_metrics
from config.settings import Settings, load_settings
from llm_router import open_router, stored_router
from llm_router.errors import ConfigurationError
from llm_router.settings.loading import SettingsError, environment

_logger = logging.getLogger("agent")
_WARM_UP_TIMEOUT = 60.0
"""Seconds in which a call process must have loaded its resources; a busy machine needs long."""


def build_server(settings: Settings) -> AgentServer:
    server = AgentServer(
        setup_fnc=job.prewarm,
        load_fnc=measure_load(job.load_board(), settings.worker_load_limit),
        load_threshold=settings.worker_load_limit or float("inf"),
        num_idle_processes=settings.worker_idle_processes,
        job_memory_limit_mb=settings.job_memory_limit_mb,
        drain_timeout=settings.worker_drain_timeout,
        initialize_process_timeout=_WARM_UP_TIMEOUT,
        host=settings.worker_host,
        port=settings.worker_port,
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        # A proxy is only for servers on other machines.
        http_proxy=None if _is_local(settings.livekit_url) else NOT_GIVEN,
        prometheus_port=settings.prometheus_port,
        prometheus_multiproc_dir=str(job.metrics_folder()) if settings.prometheus_port else None,
    )
    server.rtc_session(job.answer, agent_name=settings.agent_name)
    return server


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


async def serve(settings: Settings) -> None:
    """Takes calls until a signal comes, then waits up to the drain timeout for open calls to end.

    A second signal ends the process at once. Raises LiveKitRefusedError if LiveKit refuses the
    keys; a LiveKit that is away is waited for.
    """
    secret = settings.livekit_api_secret.get_secret_value()
    async with LiveKitServer(settings.livekit_url, settings.livekit_api_key, secret) as livekit:
        try:
            await livekit.check()
        except LiveKitUnavailableError as error:
            _logger.warning("%s Waiting for it.", error)
    server = build_server(settings)
    stop = asyncio.Event()
    _handle_signals(stop)
    running = asyncio.create_task(server.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        with contextlib.suppress(TimeoutError):
            await server.drain()
        await server.aclose()
    await running


def _handle_signals(stop: asyncio.Event) -> None:
    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


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
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every check for migrations
        asyncio.run(_check(settings))
        with tempfile.TemporaryDirectory(prefix="patchbay-worker-") as folder:
            os.environ[job.FOLDER] = folder
            if settings.prometheus_port:
                share_metrics(job.metrics_folder())
            asyncio.run(serve(settings))
    except (SettingsError, ConfigurationError, LiveKitRefusedError) as error:
        print(error, file=sys.stderr)  # noqa: T201  a command line reports its errors there
        return 2
    return 0


async def _check(settings: Settings) -> None:
    """Checks the settings once, here, before every call's process would fail on them.

    Raises ConfigurationError or SettingsError.
    """
    load_phrases(settings.phrases_file)
    if not settings.assistant_prompt_file.is_file():
        raise SettingsError(f"ASSISTANT_PROMPT_FILE: there is no {settings.assistant_prompt_file}")
    job.load_engines(settings)
    options = job.store_options(settings)
    await stored_router.prepare_database(options)
    known = await stored_router.load_known(options, environment())
    async with open_router(known.found.connections, policy=settings.router_policy):
        """Opened and closed only to find an unknown policy or provider."""
    for line in known.selected.describe():
        _logger.info("connection %s", line)
    for warning in known.selected.warnings:
        _logger.warning(warning)


if __name__ == "__main__":
    sys.exit(main())
