"""The ports of the demo's parts: their defaults, the person's choice, and whether they are free."""

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy import console, probes


class PortError(console.ReportedError):
    """A port in the settings is no port; the message names its variable."""


@dataclass(frozen=True)
class Ports:
    """Port of each part; the name of its variable is the field's in capitals."""

    livekit_port: int = 7880
    livekit_udp_port: int = 7882
    http_port: int = 8787
    worker_port: int = 8081
    redis_port: int = 7879
    sip_port: int = 5060
    sip_health_port: int = 5059


_TCP = socket.SOCK_STREAM
_UDP = socket.SOCK_DGRAM
LISTENERS: Mapping[str, tuple[str, tuple[socket.SocketKind, ...]]] = {
    "livekit_port": ("the LiveKit server", (_TCP,)),
    "livekit_udp_port": ("the LiveKit server's audio", (_UDP,)),
    "http_port": ("the page", (_TCP,)),
    "worker_port": ("the worker's health checks", (_TCP,)),
    "redis_port": ("Redis", (_TCP,)),
    "sip_port": ("telephones", (_UDP, _TCP)),
    "sip_health_port": ("the SIP server's health checks", (_TCP,)),
}
PATCHBAY = ("http_port", "worker_port")
LIVEKIT = ("livekit_port", "livekit_udp_port")
TELEPHONE = ("redis_port", "sip_port", "sip_health_port")


def free_ports() -> Ports:
    """Chooses free ports, for tests and benches.

    All are bound at the same time, so that no two are the same.
    """
    held: list[socket.socket] = []
    chosen = {}
    for name, (_, kinds) in LISTENERS.items():
        while len(bound := _bind(kinds)) < len(kinds):
            held += bound  # the port is free for one kind alone
        held += bound
        chosen[name] = bound[0].getsockname()[1]
    for one in held:
        one.close()
    return Ports(**chosen)


def _bind(kinds: tuple[socket.SocketKind, ...]) -> list[socket.socket]:
    """Binds one port for each kind; returns fewer sockets where the last kind's is taken."""
    bound: list[socket.socket] = []
    for kind in kinds:
        one = socket.socket(socket.AF_INET, kind)
        try:
            one.bind(("127.0.0.1", bound[0].getsockname()[1] if bound else 0))
        except OSError:
            one.close()
            break
        bound.append(one)
    return bound


def read_ports(values: Mapping[str, str]) -> Ports:
    """Reads the ports from settings. Raises PortError for an invalid port."""
    chosen: dict[str, int] = {}
    for name in LISTENERS:
        given = values.get(name.upper(), "").strip()
        if not given:
            continue
        if not (given.isascii() and given.isdigit() and 0 < int(given) < 65536):
            raise PortError(f"{name.upper()} is {given!r}: give a port number, 1 to 65535.")
        chosen[name] = int(given)
    return Ports(**chosen)


def port_problems(ports: Ports, used: Collection[str]) -> list[str]:
    """Describes each used port that cannot be opened, with the variable that changes it."""
    problems = []
    seen: dict[tuple[int, socket.SocketKind], str] = {}
    for name in used:
        part, kinds = LISTENERS[name]
        variable = name.upper()
        port = getattr(ports, name)
        others = [seen.setdefault((port, kind), variable) for kind in kinds]
        if other := next((one for one in others if one != variable), ""):
            problems.append(
                f"{other} and {variable} are both {port}. Choose another for one of them."
            )
        elif problem := next(filter(None, (probes.port_problem(port, kind) for kind in kinds)), ""):
            problems.append(
                f"Port {port} for {part} {problem}. Choose another, for example: "
                f"{variable}={port % 60000 + 1000} make demo"
            )
    return problems
