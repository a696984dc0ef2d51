"""Checks ports and HTTP addresses, for the demo and for the health checks of containers."""

import errno
import http.client
import json
import socket
import sys
import urllib.parse
from typing import Any

TIMEOUT = 2.0
CONNECT_TIMEOUT = 4.0


def get(url: str) -> tuple[int, bytes]:
    """Requests a plain http address without a proxy; returns its status and body.

    Raises OSError or http.client.HTTPException if a read takes more than 2 s or the response is
    incomplete.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Returns whether the address responds with 200."""
    try:
        return get(url)[0] == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def get_json(url: str) -> Any:
    """Returns the JSON of the response, or None for any other response."""
    try:
        status, body = get(url)
        return json.loads(body) if status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def accepts(url: str) -> bool:
    """Returns whether a connection to the address's host and port is accepted within 4 s."""
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme in {"https", "wss"} else 80)
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT).close()
    except (OSError, ValueError):
        return False
    return True


def port_problem(port: int, kind: socket.SocketKind) -> str | None:
    """Describes why a loopback port cannot be opened, or returns None if it can."""
    with socket.socket(socket.AF_INET, kind) as listener:
        if kind is socket.SOCK_STREAM:
            # Ports with connections in TIME_WAIT count as free, as they do for the servers.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return "is taken" if taken else f"cannot be opened ({error.strerror})"
    return None


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
