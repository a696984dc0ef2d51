"""Clients that open connections and do not do what a client does next."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


@contextmanager
def connections(
    port: int, number: int, sends: bytes = b"", source: str = "127.0.0.1"
) -> Iterator[Sequence[socket.socket]]:
    """Opens connections to a port of this machine and sends the same bytes on each."""
    opened: list[socket.socket] = []
    try:
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), 5, (source, 0))
            opened.append(connection)
            with suppress(OSError):  # closed at once
                connection.sendall(sends)
        yield opened
    finally:
        for connection in opened:
            connection.close()
