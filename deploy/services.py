"""The programs that the demo runs, each with its settings.

They listen on loopback, but for LiveKit's SIP server: its health checks answer on every interface,
and with PHONE_HOST telephones reach it at that address.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from deploy import paths, probes
from deploy.ports import Ports
from deploy.supervisor import Service

_LIVEKIT_CONFIG = paths.ROOT / "deploy" / "livekit" / "demo.yaml"
SHOP = paths.ROOT / "config" / "documents"
"""Texts of the made-up shop that the demo answers for."""
_SIP_AUDIO = "20000-20400"
"""UDP ports for the sound of telephones. One rests for half a minute after its call."""
_DRAIN = 2  # s; time for a call in progress to end when the demo is stopped


@dataclass(frozen=True)
class LiveKit:
    """The LiveKit server to use: the person's own, or (`ours`) one that the demo starts."""

    url: str
    key: str
    secret: str = field(repr=False)
    ours: bool


@dataclass(frozen=True)
class Redis:
    """The Redis with which LiveKit's servers find each other."""

    port: int
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def livekit_service(
    program: Path, livekit: LiveKit, ports: Ports, redis: Redis | None = None
) -> Service:
    """Returns the LiveKit server on loopback, without LIVEKIT_ variables of the environment."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("LIVEKIT_")}
    environ = {
        **inherited,
        "LIVEKIT_KEYS": f"{livekit.key}: {livekit.secret}",  # a flag would be visible in `ps`
        "LIVEKIT_PORT": str(ports.livekit_port),
        "UDP_PORT": str(ports.livekit_udp_port),
        "NODE_IP": "",
        "REDIS_HOST": redis.address if redis else "",
        "REDIS_PASSWORD": redis.password if redis else "",
    }
    address = f"http://127.0.0.1:{ports.livekit_port}/"
    return Service(
        "LiveKit server",
        (str(program), "--config", str(_LIVEKIT_CONFIG)),
        lambda _: probes.answers(address),
        environ,
        ready_within=20,
    )


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
        "WORKER_DRAIN_TIMEOUT": str(_DRAIN),
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
        stop_within=_DRAIN + 5,
    )
    alive = f"http://127.0.0.1:{ports.http_port}/healthz"
    page = Service("Page", (python, "-m", "agent.api"), lambda _: probes.answers(alive), environ)
    return worker, page


def redis_service(program: Path, redis: Redis, folder: Path) -> Service:
    """Returns a Redis on loopback that stores nothing. Its password is in a file in `folder`."""
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text(
        f'bind 127.0.0.1\nport {redis.port}\nrequirepass {redis.password}\nsave ""\n',
        encoding="utf-8",
    )
    return Service(
        "Redis",
        (str(program), str(config)),
        lambda _: probes.accepts(f"redis://{redis.address}"),
        ready_within=20,
    )


def sip_service(
    program: Path, livekit: LiveKit, ports: Ports, redis: Redis, host: str = "127.0.0.1"
) -> Service:
    """Returns LiveKit's SIP server. `host`: the address at which telephones reach this machine.

    Its health checks tell whether it is up, to anybody who reaches this machine.
    """
    config = {
        "api_key": livekit.key,
        "api_secret": livekit.secret,
        "ws_url": livekit.url,
        "redis": {"address": redis.address, "password": redis.password},
        "sip_port": ports.sip_port,
        "rtp_port": _SIP_AUDIO,
        "health_port": ports.sip_health_port,
        "listen_ip": host,
        "nat_1_to_1_ip": host,  # else it names any address of the network in its answers
        "max_cpu_utilization": 1.0,  # this machine also runs other programs
        "logging": {"json": True, "level": "info"},
    }
    address = f"http://127.0.0.1:{ports.sip_health_port}/"
    return Service(
        "SIP server",
        (str(program),),
        lambda _: probes.answers(address),
        # JSON is YAML, too; a file or a flag would show the secrets to others.
        {**os.environ, "SIP_CONFIG_BODY": json.dumps(config)},
        ready_within=20,
        stop_within=1,  # it would wait for its calls to end
    )
