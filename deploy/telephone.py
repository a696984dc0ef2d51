"""The telephone of the demo: Redis, LiveKit's SIP server, and the lines of the telephone's file."""

import ipaddress
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import console, media_server, paths
from deploy.ports import Ports
from deploy.services import LiveKit, Redis, redis_service, sip_service
from deploy.supervisor import Service, ServiceError

_OFF = ("", "0", "false", "no", "off")
_LOOPBACK = "127.0.0.1"
_READ_FILE = """
import json
from agent.phone.setup_file import load_phone
from config.settings import load_settings
from llm_router.settings.loading import environment
file = load_settings().phone_file
print(json.dumps([str(file), [each.number for each in load_phone(file, environment()).numbers]]))
"""
_SHOWN = 3
"""Numbers of the file that are shown to dial."""


class TelephoneError(console.ReportedError):
    """The telephone cannot be started; the message says why and what to do."""


@dataclass(frozen=True)
class Telephone:
    """The programs of the telephone. `host`: the address at which softphones call it."""

    redis_program: Path
    sip_program: Path
    redis: Redis
    host: str

    def redis_service(self, folder: Path) -> Service:
        return redis_service(self.redis_program, self.redis, folder)

    def sip_service(self, livekit: LiveKit, ports: Ports) -> Service:
        return sip_service(self.sip_program, livekit, ports, self.redis, self.host)


def is_asked_for(values: Mapping[str, str]) -> bool:
    """Returns whether PHONE is set, such as PHONE=1."""
    return values.get("PHONE", "").strip().lower() not in _OFF


def provide(values: Mapping[str, str], livekit: LiveKit, ports: Ports) -> Telephone:
    """Returns the telephone, its programs built first where they are missing.

    Raises TelephoneError or console.StepError if a part of it is missing.
    """
    if not livekit.ours:
        raise TelephoneError(
            "PHONE=1 starts a SIP server beside the demo's own LiveKit server, since both need one"
            " Redis: remove LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or start"
            " livekit-sip beside your own LiveKit server (docs/phone.md)."
        )
    host = values.get("PHONE_HOST", "").strip() or _LOOPBACK
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise TelephoneError(
            f"PHONE_HOST is {host!r}: give the IPv4 address of this machine that your softphone"
            " reaches, such as 192.168.1.20."
        ) from None
    redis = shutil.which("redis-server")
    if not redis:
        raise TelephoneError(
            "PHONE=1 needs Redis, by which LiveKit's servers find each other: install it, on Debian"
            " and Ubuntu with: apt install redis-server"
        )
    password = secrets.token_urlsafe(16)
    sip = media_server.SIP.provide()
    return Telephone(Path(redis), sip, Redis(ports.redis_port, password), host)


def apply_lines(environ: Mapping[str, str]) -> None:
    """Makes the trunks and rules of the telephone's file. Raises ServiceError if it cannot."""
    _run(environ, "-m", "llm_router.cli", "phone", "apply", "--yes")


def describe(values: Mapping[str, str], telephone: Telephone, ports: Ports) -> Sequence[str]:
    """Describes what to dial, and what others can reach. Raises ServiceError."""
    is_local = telephone.host == _LOOPBACK
    calls = "" if is_local else f"calls to {telephone.host} and "
    checks = f"its health checks (port {ports.sip_health_port})"
    reached = f"Others in your network can reach {calls}{checks}."
    file, numbers = json.loads(_run({**os.environ, **values}, "-c", _READ_FILE))
    if not numbers:
        return [f"Telephone: {file} has no number to dial; add one and start again.", reached]
    port = "" if ports.sip_port == Ports().sip_port else f":{ports.sip_port}"
    addresses = ", ".join(f"sip:{one}@{telephone.host}{port}" for one in numbers[:_SHOWN])
    where = "on this machine" if is_local else "in this network"
    return [f"Telephone: dial {addresses} with a softphone {where} (docs/phone.md).", reached]


def _run(environ: Mapping[str, str], *arguments: str) -> str:
    """Runs Python in the virtual environment, which has what reads the file; returns its output."""
    command = (str(paths.VENV_PYTHON), *arguments)
    done = subprocess.run(
        command, check=False, cwd=paths.ROOT, env=dict(environ), capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ServiceError(f"The telephone's lines could not be made.\n{said}")
    return done.stdout
