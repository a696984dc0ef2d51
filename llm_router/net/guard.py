"""Checks the addresses of connections and webhooks, as a defence against SSRF.

Without it, a person who may edit a `base_url` could make this server send requests that only it can
send: to a neighbour behind the firewall, to itself, or to its cloud's metadata service with the
machine's keys. An address is checked twice: as written, and as resolved when a connection is
dialled. The second check is the one that protects. A name may resolve differently each time (DNS
rebinding), so the very address that was checked is dialled; redirects are new connections and are
checked like all others.
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
from llm_router.net.network import KEEPALIVE_EXPIRY, IdleLimit, Network, Transport
from llm_router.net.resolver import RESOLVER

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Resolves a host name to its addresses. Raises OSError if there are none."""

_DNS_TIMEOUT = 2.0  # s; a slower name server is of no use to a voice call
_REMEDY = "an administrator can allow it"

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
_LOCAL_NAMES = frozenset(
    {"localhost", "metadata", "instance-data", "ip6-localhost", "ip6-loopback"}
)
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMERIC_HOST = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")

_NOT_PUBLIC = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; Python takes some of it for public
    IPv4Network("192.88.99.0/24"),  # relays from IPv6, which lead anywhere (RFC 7526)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637), unknown to older versions of Python
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_FIRST_UNPRIVILEGED_PORT = 1024
_WEB_PORTS = frozenset({80, 443})
_ANY_PORT = 9
_FOREIGN_4 = IPv4Address("192.0.2.1")
_FOREIGN_6 = IPv6Address("2001:db8::1")
"""Addresses for documentation, which no machine has (RFC 5737, RFC 3849)."""

_Address = IPv4Address | IPv6Address


def is_own(address: _Address) -> bool:
    """Returns whether an address is one of this machine's, private or public: it can be bound.

    Where the system lets foreign addresses be bound, only its first one in each network is known.
    """
    foreign = _FOREIGN_4 if isinstance(address, IPv4Address) else _FOREIGN_6
    if _can_bind(foreign):
        return _is_its_own_source(address)
    return _can_bind(address)


def _can_bind(address: _Address) -> bool:
    try:
        with _probe(address) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _is_its_own_source(address: _Address) -> bool:
    try:
        with _probe(address) as probe:
            probe.connect((str(address), _ANY_PORT))  # sends nothing
            return ip_address(probe.getsockname()[0].partition("%")[0]) == address
    except OSError:  # there is no way to it
        return False


def _probe(address: _Address) -> socket.socket:
    is_4 = isinstance(address, IPv4Address)
    return socket.socket(socket.AF_INET if is_4 else socket.AF_INET6, socket.SOCK_DGRAM)


async def system_resolver(host: str) -> Sequence[str]:
    found = await RESOLVER.resolve(host)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def fits(host: str, name: str) -> bool:
    """Returns whether a host has this name, or ends as a `*.suffix` does. Both are lower case."""
    return host == name or (name.startswith("*.") and host.endswith(name[1:]))


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """The addresses that one person's connections may lead to.

    Every check raises AddressRefusedError with the reason. `allow_private`: allows any address, for
    admins. `allowed`: host names, `*.suffixes` and CIDR networks that the operator allowed for all.
    `resolve`: resolves names. `is_own`: says whether an address is this machine's.
    """

    allow_private: bool = False
    allowed: tuple[str, ...] = ()
    resolve: Resolver = system_resolver
    is_own: Callable[[_Address], bool] = is_own

    def check_url(self, url: str) -> tuple[str, int]:
        """Checks an address as written, without DNS; returns its host and port."""
        shown = re.sub(r"//[^/?#]*@", "//...@", url)[:200]
        host, port, has_user = _parts(url, shown)
        if not self.allow_private and not self._is_open(host):
            if has_user:
                raise AddressRefusedError(f"{shown}: a user name in the address is not allowed")
            if port < _FIRST_UNPRIVILEGED_PORT and port not in _WEB_PORTS:
                raise AddressRefusedError(f"{shown}: port {port} is no web server's; {_REMEDY}")
        self.check_host(host)
        return host, port

    def check_host(self, host: str) -> None:
        """Checks a host name, or an IP address in any notation that a system accepts."""
        if self.allow_private or self._is_open(host):
            return
        if address := _as_address(host):
            self.check_address(address, host)
        elif _NUMERIC_HOST.fullmatch(host) or not _HOST_NAME.fullmatch(host):
            raise AddressRefusedError(f"{host[:100]!r} is not a host name")
        elif host in _LOCAL_NAMES or host.endswith(_LOCAL_SUFFIXES):
            raise AddressRefusedError(f"{host} is a name of this network; {_REMEDY}")

    def check_address(self, address: _Address, host: str) -> None:
        """Checks an IP address that `host` resolves to."""
        if self.allow_private or any(address in net for net in _networks(self.allowed)):
            return
        if reason := _refusal(address, self.is_own):
            target = host if host == str(address) else f"{host} ({address})"
            raise AddressRefusedError(f"{target} is {reason}; {_REMEDY}")

    async def addresses(self, host: str) -> Sequence[str]:
        """Resolves a host to its addresses, in the order to try them; all of them are allowed.

        One refused address among several refuses the host: honest names do not mix them. Raises
        OSError if the name does not resolve, TimeoutError after 2 s.
        """
        host = host.lower().rstrip(".")
        self.check_host(host)
        if literal := _as_address(host):
            return [str(literal)]
        async with asyncio.timeout(_DNS_TIMEOUT):
            found = await self.resolve(host)
        if not found:
            raise OSError(f"{host} has no address")
        if not self._is_open(host):
            for text in found:
                self.check_address(ip_address(text), host)
        return found

    async def check(self, url: str) -> None:
        """Checks an address as written and as resolved now, when a person enters it.

        A name that does not resolve passes: its server may be down today. Dialling checks again.
        """
        host, _ = self.check_url(url)
        with suppress(OSError):
            await self.addresses(host)

    def _is_open(self, host: str) -> bool:
        return any(fits(host, name) for name in map(str.lower, self.allowed))


def guarded_transport(
    guard: AddressGuard,
    *,
    verify: ssl.SSLContext | bool = True,
    keepalive_expiry: float = KEEPALIVE_EXPIRY,
    idle: IdleLimit | None = None,
) -> Transport:
    """Makes a transport for `httpx2.AsyncClient` that dials only addresses allowed by `guard`.

    Names are resolved once for each new connection, not for requests on an open one. Proxies from
    the environment are ignored: a proxy would resolve the names itself.
    """
    return Transport(_GuardedNetwork(guard, idle), verify, keepalive_expiry)


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Resolves a name, checks every address, and dials exactly those, one after the other."""

    def __init__(self, guard: AddressGuard, idle: IdleLimit | None) -> None:
        self._guard = guard
        self._network = Network(idle)

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
                return await self._dial_first(
                    addresses, port, timeout, local_address, socket_options
                )
        except (TimeoutError, httpcore2.ConnectTimeout) as error:
            RESOLVER.doubt(host)
            raise httpcore2.ConnectTimeout(f"{host} was not reached in time") from error
        except httpcore2.ConnectError:
            RESOLVER.doubt(host)
            raise
        except OSError as error:
            raise httpcore2.ConnectError(f"{host}: {error}") from error

    async def _dial_first(
        self,
        addresses: Sequence[str],
        port: int,
        limit: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Dials the addresses in turn until one connects.

        Each has an equal share of the time, so that a dead address does not use up all of it.
        """
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
    """Returns host, port and whether there is a user name, as the dialling parser reads them."""
    try:
        parsed = httpx2.URL(url)
        other = urlsplit(url)
        _ = other.port
    except (httpx2.InvalidURL, ValueError):
        raise AddressRefusedError(f"{shown} is not a valid address") from None
    if parsed.scheme not in {"http", "https"} or not parsed.raw_host:
        raise AddressRefusedError(f"{shown} must look like http://host:port/v1")
    # If two parsers see two hosts, the address is meant to fool one of them.
    host = parsed.raw_host.decode("ascii").lower()
    other_host = (other.hostname or "").lower()
    if "\\" in url or (other_host.isascii() and other_host != host):
        raise AddressRefusedError(f"{shown} can be read in two ways")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    return host.rstrip("."), port, bool(parsed.userinfo)


def _as_address(host: str) -> _Address | None:
    """Parses an IP address, also in decimal, octal, hexadecimal or short notation."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        if not _NUMERIC_HOST.fullmatch(host):
            return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _refusal(address: _Address, is_own: Callable[[_Address], bool]) -> str | None:
    """Returns the reason to refuse an address, or None if it is public."""
    if address in _METADATA:
        return "a cloud's metadata service"
    if isinstance(address, IPv6Address):
        if inner := _embedded(address):
            return _refusal(inner, is_own)
        if address not in _GLOBAL_UNICAST:
            return "not on the public internet"
    if address.is_multicast or not address.is_global or any(address in n for n in _NOT_PUBLIC):
        return "not on the public internet"
    if is_own(address):
        return "an address of this machine itself"
    return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address within a mapped, 6to4 or NAT64 address."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _networks(allowed: Sequence[str]) -> Iterable[IPv4Network | IPv6Network]:
    for text in allowed:
        try:
            yield ip_network(text, strict=False)
        except ValueError:  # a host name
            continue
