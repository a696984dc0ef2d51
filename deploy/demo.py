"""Runs Patchbay on this machine alone: a LiveKit server, the worker and the web page.

They listen on loopback, but for the telephone's server (PHONE=1; see `deploy.services`). Settings
come from the environment and from .env, as everywhere.
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
from dataclasses import dataclass
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
    telephone,
)
from deploy.ports import LIVEKIT, PATCHBAY, TELEPHONE, Ports, port_problems, read_ports
from deploy.services import SHOP, LiveKit, livekit_service, patchbay_services
from deploy.supervisor import ServiceError, Supervisor
from deploy.telephone import Telephone

STANDARD_URL = "ws://127.0.0.1:7880"
KEYS = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
LIVEKIT_SETTINGS = ("LIVEKIT_URL", *KEYS)
DEV_KEYS = f"{KEYS[0]}=devkey {KEYS[1]}=secret"


class DemoError(console.ReportedError):
    """A setting prevents the start; the message names it and says what to set instead."""


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


def describe_other_demo(ports: Ports) -> list[str]:
    """Describes the demo that has the page's port already, if there is one."""
    address = f"http://127.0.0.1:{ports.http_port}"
    if probes.get_json(f"{address}/api/demo") is None:
        return []
    return [f"A demo runs already: {address}. Ctrl-C in its terminal ends it. For a second one:"]


def describe_standard_server(ports: Ports) -> list[str]:
    """Describes how to use the server that has the standard port already, if there is one."""
    is_taken = probes.port_problem(ports.livekit_port, socket.SOCK_STREAM)
    if not is_taken or f"ws://127.0.0.1:{ports.livekit_port}" != STANDARD_URL:
        return []
    return [f"Or use the `livekit-server --dev` there: {DEV_KEYS} make demo"]


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


def documents_of(values: Mapping[str, str]) -> str:
    """Returns the folder of texts that the settings name, or that of the made-up shop."""
    return values.get("DOCUMENTS_FOLDER") or str(SHOP)


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


@dataclass(frozen=True)
class Parts:
    """The demo's parts: its own LiveKit server, unless there is another, and maybe a telephone."""

    program: Path | None
    livekit: LiveKit
    ports: Ports
    telephone: Telephone | None

    async def start_media(self, stack: Supervisor, logs: Path) -> None:
        """Starts the servers that the worker needs."""
        phone = self.telephone
        if phone:
            await stack.start(phone.redis_service(logs))
        if self.program:
            redis = phone.redis if phone else None
            await stack.start(livekit_service(self.program, self.livekit, self.ports, redis))
        if phone:
            await stack.start(phone.sip_service(self.livekit, self.ports))


async def serve(parts: Parts, values: Mapping[str, str]) -> int:
    """Runs everything until a signal (returns 0) or a failure (1); leaves no process behind."""
    started = time.monotonic()
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    logs = paths.logs_folder(f"demo-{parts.ports.http_port}")
    stack = Supervisor(logs)
    worker, page = patchbay_services(parts.livekit, parts.ports, documents_of(values))
    address = f"http://127.0.0.1:{parts.ports.http_port}"
    try:
        with console.busy("Starting"):
            await parts.start_media(stack, logs)
            await stack.start(worker, page)
            if parts.telephone:
                await asyncio.to_thread(telephone.apply_lines, worker.environ)
        about = await asyncio.to_thread(probes.get_json, f"{address}/api/demo")
        console.say(f"\nReady after {time.monotonic() - started:.0f} s: {address}")
        console.say(f"  The conversation in a window of its own: {address}/talk\n")
        lines = [*_found(logs, about), f"\nLogs: {logs}", "Ctrl-C stops everything."]
        if parts.telephone:
            dialled = await asyncio.to_thread(
                telephone.describe, values, parts.telephone, parts.ports
            )
            lines[:0] = [*dialled, ""]
        for line in lines:
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


def _found(logs: Path, about: Any) -> list[str]:
    """Describes the speech engines and the connections that were found, with warnings."""
    found = [*service_log.warnings(logs / "worker.log", "agent"), *read_warnings(about)]
    warnings = [f"Warning: {line}" for line in dict.fromkeys(found)]
    speech = service_log.beginning(logs / "worker.log", "agent", "Speech: ")
    return [*speech, *describe_connections(about), *warnings]


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets up, starts everything, and runs until stopped."""
    variables = ", ".join(name.upper() for name in (*LIVEKIT, *PATCHBAY, *TELEPHONE))
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description=__doc__,
        epilog=f"Ports: {variables}. A LiveKit server of your own: LIVEKIT_URL, LIVEKIT_API_KEY, "
        "LIVEKIT_API_SECRET. PHONE=1 adds a telephone; PHONE_HOST is its address for softphones "
        "elsewhere in the network. Ctrl-C stops everything.",
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
    has_phone = telephone.is_asked_for(values)
    used = (*(LIVEKIT if livekit.ours else ()), *PATCHBAY, *(TELEPHONE if has_phone else ()))
    if problems := port_problems(ports, used):
        hint = describe_standard_server(ports) if livekit.ours else []
        raise DemoError("\n".join([*describe_other_demo(ports), *problems, *hint]))
    if not livekit.ours and not probes.accepts(livekit.url):
        raise DemoError(
            f"Nothing answers at LIVEKIT_URL={livekit.url}: start the LiveKit server there, or "
            f"remove {', '.join(LIVEKIT_SETTINGS)} to let the demo start its own."
        )
    phone = telephone.provide(values, livekit, ports) if has_phone else None
    program = media_server.LIVEKIT.provide() if livekit.ours else None
    return asyncio.run(serve(Parts(program, livekit, ports, phone), values))


if __name__ == "__main__":
    sys.exit(main())
