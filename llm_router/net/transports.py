"""Opens transports as the environment says: with its proxies and certificate authorities."""

from contextlib import suppress
from dataclasses import dataclass

import httpx2

from llm_router.errors import UnreachableError
from llm_router.net.environment import bare_context, find_proxy, tls_context
from llm_router.net.guard import AddressGuard, guarded_transport
from llm_router.net.network import KEEPALIVE_EXPIRY, IdleLimit, Network, Transport

_MAX_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """A transport to one address, and the variable that names its proxy; empty: it has none."""

    transport: Transport
    proxy_variable: str


def open_transport(
    url: httpx2.URL,
    *,
    guard: AddressGuard | None = None,
    keepalive_expiry: float = KEEPALIVE_EXPIRY,
    idle: IdleLimit | None = None,
) -> OpenTransport:
    """Opens the transport to the server at `url`; with a `guard` without a proxy.

    Raises UnreachableError where the environment names a proxy or certificates for this address
    that cannot be used; plain HTTP needs no certificates.
    """
    choice = None
    if guard is None:
        choice = find_proxy(url.scheme, url.host, url.port or _default_port(url))
    needs_tls = "https" in {url.scheme, choice.proxy.url.scheme if choice else ""}
    tls = tls_context() if needs_tls else bare_context()
    if guard:
        transport = guarded_transport(
            guard, verify=tls, keepalive_expiry=keepalive_expiry, idle=idle
        )
    else:
        proxy = choice.proxy if choice else None
        transport = Transport(Network(idle), tls, keepalive_expiry, proxy)
    return OpenTransport(transport, choice.variable if choice else "")


class EnvironmentTransport(httpx2.AsyncBaseTransport):
    """A transport to any address, for a client whose addresses differ.

    What cannot be used in the environment fails the requests that need it, with ConnectError.
    """

    def __init__(self, guard: AddressGuard | None = None) -> None:
        self._guard = guard
        self._open: dict[tuple[str, str, int | None], Transport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        address = (request.url.scheme, request.url.host, request.url.port)
        if (transport := self._open.get(address)) is None:
            if len(self._open) >= _MAX_ADDRESSES:
                await self._open.pop(next(iter(self._open))).aclose()
            try:
                transport = open_transport(request.url, guard=self._guard).transport
            except UnreachableError as error:
                raise httpx2.ConnectError(f"{error}: {error.cure}", request=request) from error
            self._open[address] = transport
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        while self._open:
            with suppress(httpx2.HTTPError):
                await self._open.popitem()[1].aclose()


def _default_port(url: httpx2.URL) -> int:
    return 443 if url.scheme == "https" else 80
