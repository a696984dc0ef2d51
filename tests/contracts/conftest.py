"""Fixtures of several contract suites."""

import socket

import pytest

from tests.contracts.cli_shell import here, shell
from tests.contracts.composed import checker, load
from tests.contracts.databases import (
    cluster,
    database,
    files,
    migrated_file,
    postgres,
    server,
)
from tests.contracts.gateway import each_gateway, gateway
from tests.contracts.livekit_asking import via
from tests.contracts.moto_process import moto
from tests.contracts.stores import server_or_none, store
from tests.contracts.wire import wire

__all__ = [
    "checker",
    "cluster",
    "database",
    "each_gateway",
    "files",
    "gateway",
    "here",
    "load",
    "migrated_file",
    "moto",
    "postgres",
    "server",
    "server_or_none",
    "shell",
    "store",
    "unused_url",
    "via",
    "wire",
]


@pytest.fixture
def unused_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
