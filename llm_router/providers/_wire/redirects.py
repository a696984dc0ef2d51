"""Decides whether a redirect is followed, and says where the others lead."""

import httpx2

from llm_router.errors import WrongAddressError

_SHOWN = 200  # characters
_ROUTES = ("/chat/completions", "/models", "/api/chat", "/api/tags")


def is_redirect(status: int) -> bool:
    return status in {301, 302, 303, 307, 308}


def redirect_target(status: int, asked: httpx2.URL, location: str) -> httpx2.URL:
    """Returns the address to send the same request to: the same route, at the same host.

    The key goes with it, so another host is never followed, nor https to http. Raises
    WrongAddressError for any other redirect.
    """
    try:
        target = asked.join(location).copy_with(username=None, password=None, fragment=None)
    except (httpx2.InvalidURL, ValueError):
        raise WrongAddressError(
            status, f"base_url is redirected (HTTP {status}) to no address"
        ) from None
    is_same_server = (target.scheme, target.host, target.port) == (
        asked.scheme,
        asked.host,
        asked.port,
    )
    is_secured = target.scheme == "https" and target.host == asked.host
    if not location or not (is_same_server or is_secured) or _route(target) != _route(asked):
        raise _elsewhere(status, target)
    return target


def _route(url: httpx2.URL) -> str:
    return url.path.rstrip("/").rpartition("/")[2]


def _elsewhere(status: int, target: httpx2.URL) -> WrongAddressError:
    address = shown_address(target)
    for route in _ROUTES:
        if address.endswith(route):
            address = address.removesuffix(route)
            return WrongAddressError(
                status,
                f"base_url is redirected (HTTP {status}) to {address}",
                cure=f"set base_url to {address} if that is your server",
            )
    return WrongAddressError(status, f"base_url is redirected (HTTP {status}) to {address}")


def shown_address(url: httpx2.URL) -> str:
    """Returns an address fit for a log: without user, query and fragment, and bounded."""
    shown = url.copy_with(username=None, password=None, query=None, fragment=None)
    return str(shown).rstrip("/")[:_SHOWN]
