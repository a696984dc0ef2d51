"""Which addresses a connection or a webhook may lead to, so that nobody borrows our network.

Whoever may edit a `base_url` could otherwise have this server ask what only it can reach: a
neighbour behind the firewall, itself, or its cloud's metadata service with the keys of the machine.
An address is judged twice: as it is written, and by where it leads once a connection is dialled.
The second look is the one that counts. A name may answer differently to each question (DNS
rebinding), so the very address that was judged is dialled; redirects are new connections and are
judged like all others.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpcore2
import httpx2

from llm_router.errors import AddressRefusedError
from llm_router.net.network import Network, Transport

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses. Raises OSError where there are none."""

_DNS = 2.0  # s; a name server that takes longer is none for a voice
_ALLOW = "an administrator can allow it"

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google and most others
        "169.254.170.2",  # AWS, containers
        "fd00:ec2::254",  # AWS over IPv6
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's wire server: a public address, but only on the machine itself
    )
)
_INSIDE = frozenset({"localhost", "metadata", "instance-data", "ip6-localhost", "ip6-loopback"})
_INSIDE_ENDINGS = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_FIRST_FREE_PORT = 1024
_WEB_PORTS = frozenset({80, 443})

_Address = IPv4Address | IPv6Address


async def system_resolver(host: str) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label too long for the name system
        raise OSError(f"{host[:100]!r} is no host name") from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """What one person may have called. Everything here raises AddressRefusedError, saying why.

    `allow_private`: whatever HTTP can reach; for an admin who said so. `allowed`: host names,
    `*.endings` and networks in CIDR form that the operator opened to all. `resolve`: looks names
    up.
    """

    allow_private: bool = False
    allowed: tuple[str, ...] = ()
    resolve: Resolver = system_resolver

    def check_url(self, url: str) -> tuple[str, int]:
        """Judges an address as written, without asking any name server. The host and the port."""
        shown = re.sub(r"//[^/?#]*@", "//...@", url)[:200]
        host, port, has_user = _parts(url, shown)
        if not self.allow_private and not self._is_open(host):
            if has_user:
                raise AddressRefusedError(f"{shown}: a user name in the address is not allowed")
            if port < _FIRST_FREE_PORT and port not in _WEB_PORTS:
                raise AddressRefusedError(f"{shown}: port {port} is no web server's; {_ALLOW}")
        self.check_host(host)
        return host, port

    def check_host(self, host: str) -> None:
        """Judges a host name, or an address in any spelling a system would take."""
        if self.allow_private or self._is_open(host):
            return
        if address := _as_address(host):
            self.check_address(address, host)
        elif _NUMBER.fullmatch(host) or not _NAME.fullmatch(host):
            raise AddressRefusedError(f"{host[:100]!r} is no host name")
        elif host in _INSIDE or host.endswith(_INSIDE_ENDINGS):
            raise AddressRefusedError(f"{host} is a name of this network; {_ALLOW}")

    def check_address(self, address: _Address, host: str) -> None:
        """Judges where `host` leads."""
        if self.allow_private or any(address in net for net in _networks(self.allowed)):
            return
        if why := _why_not(address):
            leads = host if host == str(address) else f"{host} ({address})"
            raise AddressRefusedError(f"{leads} is {why}; {_ALLOW}")

    async def addresses(self, host: str) -> Sequence[str]:
        """Where `host` leads, all of it allowed, in the order to try.

        One refused address among several refuses the host: honest names do not mix them. Raises
        OSError where the name leads nowhere, TimeoutError after 2 s.
        """
        host = host.lower().rstrip(".")
        self.check_host(host)
        if literal := _as_address(host):
            return [str(literal)]
        async with asyncio.timeout(_DNS):
            found = await self.resolve(host)
        if not found:
            raise OSError(f"{host} has no address")
        if not self._is_open(host):
            for text in found:
                self.check_address(ip_address(text), host)
        return found

    async def check(self, url: str) -> None:
        """Judges an address as written and where it leads now, for whoever types it in.

        A name that leads nowhere passes: its server may be down today. Dialling judges again.
        """
        host, _ = self.check_url(url)
        with suppress(OSError):
            await self.addresses(host)

    def _is_open(self, host: str) -> bool:
        return any(
            host == name or (name.startswith("*.") and host.endswith(name[1:]))
            for name in map(str.lower, self.allowed)
        )


def guarded_transport(
    guard: AddressGuard,
    *,
    verify: ssl.SSLContext | bool = True,
    limits: httpx2.Limits | None = None,
) -> httpx2.AsyncBaseTransport:
    """A transport for `httpx2.AsyncClient(transport=...)` that dials only what `guard` allows.

    Names are looked up once for each new connection, never for a request on one that is open. No
    proxy is used, whatever the environment says: it would do the looking up.
    """
    return Transport(_GuardedNetwork(guard), verify, limits or httpx2.Limits())


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Looks a name up, judges every address, and dials exactly those, one after the other."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._network = Network()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.addresses(host)
                return await self._first(addresses, port, timeout, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not reached in time") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"{host}: {error}") from error

    async def _first(
        self,
        addresses: Sequence[str],
        port: int,
        limit: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Each gets an equal share of the time, so that a dead one does not use up all of it."""
        share = None if limit is None else limit / len(addresses)
        *others, last = addresses
        for address in others:
            try:
                return await self._network.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._network.connect_tcp(last, port, limit, local_address, socket_options)


def _parts(url: str, shown: str) -> tuple[str, int, bool]:
    """Host, port, whether a user name stands before them. Read by the parser that will dial."""
    try:
        parsed, other = httpx2.URL(url), urlsplit(url)
        _ = other.port
    except (httpx2.InvalidURL, ValueError):
        raise AddressRefusedError(f"{shown} is no address") from None
    if parsed.scheme not in {"http", "https"} or not parsed.raw_host:
        raise AddressRefusedError(f"{shown} must look like http://host:port/v1")
    # Where two parsers see two hosts, one of them is being fooled.
    host, again = parsed.raw_host.decode("ascii").lower(), (other.hostname or "").lower()
    if "\\" in url or (again.isascii() and again != host):
        raise AddressRefusedError(f"{shown} can be read in two ways")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    return host.rstrip("."), port, bool(parsed.userinfo)


def _as_address(host: str) -> _Address | None:
    """The address that a host spells, be it decimal, octal, hexadecimal or cut short."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        if not _NUMBER.fullmatch(host):
            return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _why_not(address: _Address) -> str | None:
    """What stands against calling an address; None: nothing."""
    if address in _METADATA:
        return "a cloud's metadata service"
    if isinstance(address, IPv6Address):
        if inner := _embedded(address):
            return _why_not(inner)
        if address not in _GLOBAL_UNICAST:
            return "not on the public internet"
    if address.is_multicast or not address.is_global:
        return "not on the public internet"
    return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, a 6to4 or a NAT64 one leads to."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _networks(allowed: Sequence[str]) -> Iterable[IPv4Network | IPv6Network]:
    for text in allowed:
        try:
            yield ip_network(text, strict=False)
        except ValueError:  # a host name
            continue
