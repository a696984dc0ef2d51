"""Is a port free, does a server answer: asked by the demo and by containers' health checks."""

import errno
import http.client
import json
import socket
import sys
import urllib.parse
from typing import Any

TIMEOUT = 2.0


def get(url: str) -> tuple[int, bytes]:
    """GET a plain http address and return its status and body, past any proxy.

    Raises OSError or http.client.HTTPException when there is no whole answer within 2 s a read.
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
    """Tell whether the address answers 200."""
    try:
        return get(url)[0] == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def get_json(url: str) -> Any:
    """Return the JSON the address answers with, or None if it answers anything else."""
    try:
        status, body = get(url)
        return json.loads(body) if status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def port_problem(port: int, kind: socket.SocketKind) -> str | None:
    """Return what keeps a loopback port from being opened, in words, or None if nothing does."""
    with socket.socket(socket.AF_INET, kind) as listener:
        if kind is socket.SOCK_STREAM:
            # Ports whose last connections are still fading out count as free, as for the servers.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return "is taken" if taken else f"cannot be opened ({error.strerror})"
    return None


if __name__ == "__main__":
    sys.exit(0 if answers(sys.argv[1]) else 1)
