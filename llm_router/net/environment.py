"""Reads proxies and certificate authorities from the environment, for one address at a time.

A variable that cannot be used harms only the connections that need it: the error that they raise
names it. Connections with an AddressGuard use no proxy, since a proxy would resolve names itself.
"""

import functools
import os
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2

from llm_router.errors import UnreachableError

_SCHEMES = ("http", "https", "socks5", "socks5h")
_SOCKS = ("socks5", "socks5h")
_OTHER_NAMES = {"socks": "socks5"}  # GNOME's settings
_HAS_SYSTEM_PROXIES = sys.platform in {"darwin", "win32"}


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """The proxy for an address, and the variable that names it."""

    proxy: httpx2.Proxy
    variable: str


def find_proxy(
    scheme: str, host: str, port: int, environ: Mapping[str, str] | None = None
) -> ProxyChoice | None:
    """Returns the proxy that the environment names for an address; None: it is dialled directly.

    Raises UnreachableError if that proxy cannot be used.
    """
    environ = os.environ if environ is None else environ
    variable, value = _proxy_variable(scheme, environ)
    if not value or bypasses_proxy(host, port, _variable("no_proxy", environ)[1]):
        return None
    return ProxyChoice(_parse(variable, value), variable)


def bypasses_proxy(host: str, port: int, no_proxy: str) -> bool:
    """Returns whether NO_PROXY exempts the host: by name, suffix, address or network.

    An entry that makes no sense exempts nothing.
    """
    host = host.strip("[]").rstrip(".").lower()
    return any(_exempts(entry, host, port) for entry in re.split(r"[,;\s]+", no_proxy.lower()))


def tls_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Returns the TLS context with the certificate authorities that the environment names.

    It is shared, because reading them takes tens of milliseconds. Raises UnreachableError if they
    cannot be read.
    """
    environ = os.environ if environ is None else environ
    return _context(environ.get("SSL_CERT_FILE", ""), environ.get("SSL_CERT_DIR", ""))


def raise_environment_fault(base_url: str) -> None:
    """Raises UnreachableError if an https client for this address cannot be set up as the
    environment is; for libraries that read it themselves.
    """
    tls_context()
    find_proxy("https", urlsplit(base_url).hostname or "", 443)


@functools.cache
def bare_context() -> ssl.SSLContext:
    """Makes a context for plain HTTP, cheaply: it holds no certificates and trusts none."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache  # of the contexts: a call that raises is not remembered
def _context(file: str, folder: str) -> ssl.SSLContext:
    try:
        if file:
            return ssl.create_default_context(cafile=file)
        if folder and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
            raise _unusable("SSL_CERT_DIR", f"names {folder[:100]}, which is no folder")
        if folder:
            return ssl.create_default_context(capath=folder)
    except ssl.SSLError as error:
        raise _unusable(
            "SSL_CERT_FILE", f"names {file[:100]}, which holds no certificate in PEM form"
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or type(error).__name__
        raise _unusable("SSL_CERT_FILE", f"names {file[:100]}, which cannot be read ({why})") from (
            error
        )
    return httpx2.create_ssl_context(trust_env=False)


def _proxy_variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable, value = _variable(name, environ)
        if value:
            return variable, value
    if _HAS_SYSTEM_PROXIES and not any(name.lower().endswith("_proxy") for name in environ):
        return "the system's proxy settings", getproxies().get(scheme, "")
    return "", ""


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Returns a variable's own name and its value; the spelling in small letters takes precedence,
    even when it is empty.
    """
    for variable in (name, name.upper()):
        if variable in environ:
            return variable, environ[variable].strip().strip("\"'").strip()
    return name, ""


def _parse(variable: str, value: str) -> httpx2.Proxy:
    """Returns the proxy at an address that may lack its scheme. No error holds the address: there
    may be a password in it.
    """
    value = value if "://" in value else f"http://{value}"
    given, _, rest = value.partition("://")
    scheme = _OTHER_NAMES.get(given.lower(), given.lower())
    if scheme not in _SCHEMES:
        raise _unusable(variable, f"names a {given[:20]} proxy; known are {', '.join(_SCHEMES)}")
    if scheme in _SOCKS and find_spec("socksio") is None:
        raise UnreachableError(
            f"{variable} names a SOCKS proxy, which needs an extra that is not installed",
            cure="in a checkout of Patchbay run EXTRAS=socks make setup, or pip install"
            f" './llm_router[socks]'; or correct {variable}",
        )
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        if parts.hostname and parts.port != 0 and not re.search(r"\s", rest):
            return httpx2.Proxy(f"{scheme}://{rest}")
    except (ValueError, httpx2.InvalidURL):
        pass  # its text may hold the password
    raise _unusable(variable, "is not the address of a proxy")


def _unusable(variable: str, what: str) -> UnreachableError:
    return UnreachableError(f"{variable} {what}", cure=f"correct {variable}, or remove it")


def _exempts(entry: str, host: str, port: int) -> bool:
    entry = entry.strip("\"'").rpartition("://")[2].rstrip(".")
    if not entry:
        return False
    if entry == "*" or (entry == "<local>" and "." not in host and ":" not in host):
        return True
    if "/" in entry:
        return _is_in_network(host, entry.replace("[", "").replace("]", ""))
    entry, given = _split_port(entry)
    if given and given != str(port):
        return False
    if "*" in entry.removeprefix("*."):
        return fnmatchcase(host, entry)
    name = entry.removeprefix("*").removeprefix(".")
    return bool(name) and (_same_address(host, name) or host.endswith(f".{name}") or host == name)


def _split_port(entry: str) -> tuple[str, str]:
    """Splits `[::1]:80`, `[::1]`, `::1`, `host:80` and `host`."""
    if entry.startswith("["):
        inner, _, rest = entry[1:].partition("]")
        return inner, rest.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, "")


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _same_address(host: str, entry: str) -> bool:
    try:
        return ip_address(host) == ip_address(entry)
    except ValueError:
        return False
