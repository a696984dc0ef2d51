"""Addresses of this machine, as a process in a container reaches them.

127.0.0.1 inside a container is the container. Settings are written for the machine, so where
LOOPBACK_HOST names it (docker-compose.yml does), it takes the place of loopback hosts in addresses.
Only what the operator writes is read so: the environment, .env and CONNECTIONS_FILE.
"""

import re
from collections.abc import Mapping

LOOPBACK_HOST = "LOOPBACK_HOST"
_ELSEWHERE = frozenset({"LIVEKIT_PUBLIC_URL", "ALLOWED_ORIGINS", "PATCHBAY_API_URL", LOOPBACK_HOST})
"""Variables whose address is used by browsers, or inside the container itself."""
_LOOPBACK = r"(?:localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|\[::1?\])(?=[:/?#,\s\"']|$)"
_IN_URL = re.compile(rf"(?<=://)((?:[^\s/@\"',]*@)?){_LOOPBACK}", re.IGNORECASE)
_BARE = re.compile(rf"^(){_LOOPBACK}(?=:\d)", re.IGNORECASE)


def reach(address: str, host: str) -> str:
    """Returns the text with `host` for the loopback host of each URL in it, or of a host:port.

    Returns it unchanged if `host` is empty.
    """
    if not host:
        return address
    return _IN_URL.sub(rf"\g<1>{host}", _BARE.sub(rf"\g<1>{host}", address))


def reach_variable(name: str, value: str, environ: Mapping[str, str]) -> str:
    """Returns the value of a variable for use in this process, which LOOPBACK_HOST may change."""
    return value if name.upper() in _ELSEWHERE else reach(value, environ.get(LOOPBACK_HOST, ""))


def is_changed(address: str | None, environ: Mapping[str, str]) -> bool:
    """Returns whether the address means this container where its writer means the machine."""
    return bool(address) and reach(address or "", environ.get(LOOPBACK_HOST, "")) != address
