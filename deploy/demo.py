"""Runs Patchbay on this machine alone: a LiveKit server, the worker and the web page.

All of them listen on loopback. Settings come from the environment and from .env, as everywhere.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import (
    announcement,
    console,
    env_file,
    media_server,
    paths,
    probes,
    service_log,
    setup,
)
from deploy.supervisor import Service, ServiceError, Supervisor

SERVER_CONFIG = paths.ROOT / "deploy" / "livekit" / "demo.yaml"
SHOP = paths.ROOT / "config" / "documents"
"""Texts of the made-up shop that the demo answers for."""
STANDARD_URL = "ws://127.0.0.1:7880"
KEYS = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
LIVEKIT_SETTINGS = ("LIVEKIT_URL", *KEYS)
DEV_KEYS = f"{KEYS[0]}=devkey {KEYS[1]}=secret"
DRAIN = 2  # s; time for a call in progress to end when the demo is stopped


class DemoError(console.ReportedError):
    """A setting prevents the start; the message names it and says what to set instead."""


@dataclass(frozen=True)
class Ports:
    """Port of each part; the name of its variable is the field's in capitals."""

    livekit_port: int = 7880
    livekit_udp_port: int = 7882
    http_port: int = 8787
    worker_port: int = 8081


LISTENERS = {
    "livekit_port": ("the LiveKit server", socket.SOCK_STREAM),
    "livekit_udp_port": ("the LiveKit server's audio", socket.SOCK_DGRAM),
    "http_port": ("the page", socket.SOCK_STREAM),
    "worker_port": ("the worker's health checks", socket.SOCK_STREAM),
}
SERVER_PORTS = {"livekit_port", "livekit_udp_port"}


@dataclass(frozen=True)
class LiveKit:
    """The LiveKit server to use: the person's own, or (`ours`) one that the demo starts."""

    url: str
    key: str
    secret: str = field(repr=False)
    ours: bool


def free_ports() -> Ports:
    """Chooses free ports, for tests and benches.

    All are bound at the same time, so that no two are the same.
    """
    sockets = {name: socket.socket(socket.AF_INET, kind) for name, (_, kind) in LISTENERS.items()}
    for one in sockets.values():
        one.bind(("127.0.0.1", 0))
    ports = Ports(**{name: one.getsockname()[1] for name, one in sockets.items()})
    for one in sockets.values():
        one.close()
    return ports


def read_ports(values: Mapping[str, str]) -> Ports:
    """Reads the ports from settings. Raises DemoError for an invalid port."""
    chosen: dict[str, int] = {}
    for name in LISTENERS:
        given = values.get(name.upper(), "").strip()
        if not given:
            continue
        if not (given.isascii() and given.isdigit() and 0 < int(given) < 65536):
            raise DemoError(f"{name.upper()} is {given!r}: give a port number, 1 to 65535.")
        chosen[name] = int(given)
    return Ports(**chosen)


def choose_livekit(values: Mapping[str, str], ports: Ports) -> LiveKit:
    """Returns the LiveKit server of the settings, or one of our own if they name none.

    Keys without an address are those of a server at the standard address. Raises DemoError if only
    some of its settings are given.
    """
    url, key, secret = (values.get(name, "").strip() for name in LIVEKIT_SETTINGS)
    if key and secret:
        return LiveKit(url or STANDARD_URL, key, secret, ours=False)
    if key or secret or url not in {"", STANDARD_URL}:
        missing = [n for n, given in zip(KEYS, (key, secret), strict=True) if not given]
        raise DemoError(
            f"{' and '.join(missing)} missing: name your LiveKit server with all of "
            f"{', '.join(LIVEKIT_SETTINGS)}, or with none of them to let the demo start its own. "
            f"For `livekit-server --dev`: {DEV_KEYS}"
        )
    return LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key=f"demo-{secrets.token_hex(4)}",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )


def port_problems(ports: Ports, *, own_server: bool) -> list[str]:
    """Describes each port that cannot be used, with the variable that changes it."""
    used = {n: value for n, value in LISTENERS.items() if own_server or n not in SERVER_PORTS}
    problems = []
    seen: dict[tuple[int, socket.SocketKind], str] = {}
    for name, (part, kind) in used.items():
        variable, port = name.upper(), getattr(ports, name)
        other = seen.setdefault((port, kind), variable)
        if other != variable:
            problems.append(
                f"{other} and {variable} are both {port}. Choose another for one of them."
            )
        elif problem := probes.port_problem(port, kind):
            problems.append(
                f"Port {port} for {part} {problem}. Choose another, for example: "
                f"{variable}={port % 60000 + 1000} make demo"
            )
            if f"ws://127.0.0.1:{port}" == STANDARD_URL and name in SERVER_PORTS:
                problems.append(f"Or use the `livekit-server --dev` there: {DEV_KEYS} make demo")
    return problems


def describe_other_demo(ports: Ports) -> list[str]:
    """Describes the demo that has the page's port already, if there is one."""
    address = f"http://127.0.0.1:{ports.http_port}"
    if probes.get_json(f"{address}/api/demo") is None:
        return []
    return [f"A demo runs already: {address}. Ctrl-C in its terminal ends it. For a second one:"]


def read_dotenv() -> dict[str, str]:
    """Reads .env with the package that reads it for the settings, in the virtual environment.

    Raises env_file.EnvFileError if it cannot be read.
    """
    if not env_file.read():
        return {}
    script = "import dotenv, json; print(json.dumps(dotenv.dotenv_values('.env')))"
    answer = subprocess.run(
        [paths.VENV_PYTHON, "-c", script],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: value or "" for name, value in json.loads(answer.stdout).items()}


def livekit_service(program: Path, livekit: LiveKit, ports: Ports) -> Service:
    """Returns the LiveKit server on loopback, without LIVEKIT_ variables of the environment."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("LIVEKIT_")}
    environ = {
        **inherited,
        "LIVEKIT_KEYS": f"{livekit.key}: {livekit.secret}",  # a flag would be visible in `ps`
        "LIVEKIT_PORT": str(ports.livekit_port),
        "UDP_PORT": str(ports.livekit_udp_port),
        "NODE_IP": "",
        "REDIS_HOST": "",
    }
    address = f"http://127.0.0.1:{ports.livekit_port}/"
    return Service(
        "LiveKit server",
        (str(program), "--config", str(SERVER_CONFIG)),
        lambda _: probes.answers(address),
        environ,
        ready_within=20,
    )


def documents_of(values: Mapping[str, str]) -> str:
    """Returns the folder of texts that the settings name, or that of the made-up shop."""
    return values.get("DOCUMENTS_FOLDER") or str(SHOP)


def patchbay_services(
    livekit: LiveKit, ports: Ports, documents: str = str(SHOP)
) -> tuple[Service, Service]:
    """Returns the worker and the HTTP process. `documents`: the folder of texts for the agent."""
    environ = {
        # A person's own machine also runs other programs, and has only one caller.
        "WORKER_LOAD_LIMIT": "0",
        "DEMO": "true",
        "DOCUMENTS_FOLDER": documents,
        **os.environ,
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(ports.http_port),
        "WORKER_HOST": "127.0.0.1",
        "WORKER_PORT": str(ports.worker_port),
        "WORKER_DRAIN_TIMEOUT": str(DRAIN),
    }
    if livekit.ours:
        environ["LIVEKIT_PUBLIC_URL"] = livekit.url
    python = str(paths.VENV_PYTHON)
    health = f"http://127.0.0.1:{ports.worker_port}/readyz"
    worker = Service(
        "Worker",
        (python, "-m", "agent.worker", "start"),
        lambda _: probes.answers(health),
        environ,
        ready_within=180,  # a slow machine loads speech models for a minute
        stop_within=DRAIN + 5,
    )
    alive = f"http://127.0.0.1:{ports.http_port}/healthz"
    page = Service("Page", (python, "-m", "agent.api"), lambda _: probes.answers(alive), environ)
    return worker, page


def describe_connections(about: Any) -> list[str]:
    """Describes the connections in use, from the response of /api/demo."""
    if not isinstance(about, dict):
        return []
    rows = _rows(about.get("connections", []))
    lines = ["Connections, in order of priority:", *rows] if rows else []
    if about.get("stored_now"):
        lines += [
            "The connections that were found are stored now. From here on, change them there, also",
            "during calls: `make shell`, then `llm-router connections --help`.",
        ]
    if unused := about.get("unused"):
        lines += [
            "Found but not used, since others are stored. To use them, run in `make shell`:",
            *(line for one in unused for line in (*_rows([one]), f"    {one['command']}")),
        ]
    if about.get("offline"):
        replies = (
            "the built-in responder replies"
            if about.get("responder")
            else "the agent can only say it is sorry"
        )
        lines += [
            f"No model is connected: {replies}. To connect one, start a server on this machine, or",
            "set VLLM_BASE_URL, OLLAMA_BASE_URL or OPENAI_BASE_URL in .env, and start again.",
            "While it runs: `make shell`, then `llm-router connections add NAME --base-url URL`.",
        ]
    return lines


def read_warnings(about: Any) -> list[str]:
    """Returns the warnings about connections from the response of /api/demo."""
    warnings = about.get("warnings") if isinstance(about, dict) else None
    return [str(line) for line in warnings] if isinstance(warnings, list) else []


def _rows(connections: Any) -> list[str]:
    rows = []
    for one in connections:
        name, model, source = (str(one.get(key) or "") for key in ("name", "model", "source"))
        rows.append("  " + "  ".join(part for part in (f"{name:<16}", model, source) if part))
    return rows


async def serve(program: Path | None, livekit: LiveKit, ports: Ports, documents: str) -> int:
    """Runs everything until a signal (returns 0) or a failure (1); leaves no process behind."""
    started = time.monotonic()
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    logs = paths.logs_folder(f"demo-{ports.http_port}")
    stack = Supervisor(logs)
    worker, page = patchbay_services(livekit, ports, documents)
    address = f"http://127.0.0.1:{ports.http_port}"
    try:
        with console.busy("Starting"):
            if program:
                await stack.start(livekit_service(program, livekit, ports))
            await stack.start(worker, page)
        about = await asyncio.to_thread(probes.get_json, f"{address}/api/demo")
        console.say(f"\nReady after {time.monotonic() - started:.0f} s: {address}\n")
        found = [*service_log.warnings(logs / "worker.log", "agent"), *read_warnings(about)]
        warnings = [f"Warning: {line}" for line in dict.fromkeys(found)]
        speech = service_log.beginning(logs / "worker.log", "agent", "Speech: ")
        end = [f"\nLogs: {logs}", "Ctrl-C stops everything."]
        for line in [*speech, *describe_connections(about), *warnings, *end]:
            console.say(line)
        with announcement.announced(address, worker.environ):
            await stack.watch()
    except asyncio.CancelledError:
        console.say("\nStopping ...")
    except ServiceError as error:
        console.say(f"\nFailed: {error}")
        return 1
    finally:
        await stack.stop()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets up, starts everything, and runs until stopped."""
    variables = ", ".join(name.upper() for name in LISTENERS)
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description=__doc__,
        epilog=f"Ports: {variables}. A LiveKit server of your own: LIVEKIT_URL, LIVEKIT_API_KEY, "
        "LIVEKIT_API_SECRET. Ctrl-C stops everything.",
    )
    parser.add_argument("--no-setup", action="store_true", help="skip the steps of set-up")
    steps = () if parser.parse_args(arguments).no_setup else ("venv", "speech", "extras", "page")
    return setup.report_failures(lambda: start(steps))


def start(steps: Sequence[str]) -> int:
    """Runs the steps of set-up, reads the settings and serves.

    Raises DemoError or console.StepError before any process is started.
    """
    setup.run(steps)
    values = {**read_dotenv(), **{name: value for name, value in os.environ.items() if value}}
    ports = read_ports(values)
    livekit = choose_livekit(values, ports)
    if problems := port_problems(ports, own_server=livekit.ours):
        raise DemoError("\n".join([*describe_other_demo(ports), *problems]))
    if not livekit.ours and not probes.accepts(livekit.url):
        raise DemoError(
            f"Nothing answers at LIVEKIT_URL={livekit.url}: start the LiveKit server there, or "
            f"remove {', '.join(LIVEKIT_SETTINGS)} to let the demo start its own."
        )
    program = media_server.provide() if livekit.ours else None
    return asyncio.run(serve(program, livekit, ports, documents_of(values)))


if __name__ == "__main__":
    sys.exit(main())
