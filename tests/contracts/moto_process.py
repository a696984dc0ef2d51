"""Runs EC2 (moto) as a process of its own, in an environment of its own."""

import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import environments, paths
from tests.contracts import processes

_SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of EC2, which all tests of this process share."""
    env = processes.environ(tmp_path_factory.mktemp("moto"))
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [str(_python()), "-c", _SERVE], env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        host, port = process.stdout.readline().decode().split()
        yield f"http://{host}:{port}"
        process.kill()


def _python() -> Path:
    """Returns the Python that has moto; makes its environment first if there is none."""
    paths.cache_folder().mkdir(parents=True, exist_ok=True)
    with (paths.cache_folder() / "moto.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several processes may need it at once
        return environments.provide("moto", "EC2 for tests (moto)", takes="seconds and 0.1 GB")
