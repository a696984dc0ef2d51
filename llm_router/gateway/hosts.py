"""Refuses requests that name another host, as a defence against DNS rebinding.

A web page elsewhere may give its own name the address of this server. To the browser it is then of
the same site as this server, and reads every answer; but its requests carry that name as `Host`.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from llm_router.gateway.errors import Problem
from llm_router.net.guard import fits

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,253})(:[0-9]{1,5})?", re.IGNORECASE)
_UNCHECKED = frozenset({"/healthz", "/readyz"})
"""Paths that probes ask by the address of a container, and that tell no secret."""


_NOT_FOR_ITSELF = ("origin", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers of browsers and of proxies."""


def host_name(header: str) -> str:
    """Returns the name or address in a `Host` header, without its port; empty if it is invalid."""
    found = _HOST.fullmatch(header)
    return found[1].strip("[]").rstrip(".").lower() if found else ""


def is_loopback(name: str) -> bool:
    """Returns whether a name or an address always means the machine that asks."""
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_from_here(request: Request) -> bool:
    """Returns whether a program on this machine sent the request, for itself.

    So neither for another machine, as a proxy here would, nor for a web page: its requests have an
    `Origin`, or name a host that is not this machine.
    """
    if request.client is None or not is_loopback(request.client.host):
        return False
    if any(name in request.headers for name in _NOT_FOR_ITSELF):
        return False
    return is_loopback(host_name(request.headers.get("host", "")))


class HostCheck:
    """Answers only requests to loopback names and to `names`, others with a Problem (421).

    A name may be `*.suffix`. None stands for every name.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str] | None) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._allows(scope):
            await self.app(scope, receive, send)
            return
        refusal = Problem(
            421,
            "host-not-allowed",
            "This server is not reached by that name: use another address, or list the name in the"
            " setting PUBLIC_HOSTS.",
        )
        await refusal.response(scope["path"])(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        if self.names is None or scope["path"] in _UNCHECKED:
            return True
        hosts = Headers(scope=scope).getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else ""  # of two, a proxy may heed the other
        return bool(name) and (is_loopback(name) or any(fits(name, one) for one in self.names))
