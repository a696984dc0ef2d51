"""What the tests of ears and of voices are both given."""

import socket

import pytest


@pytest.fixture
def unused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
