"""Runs AWS's own mock of the metadata service of instances, built once into the cache."""

import asyncio
import fcntl
import json
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import httpx2

from deploy import paths, stamps, toolchain
from deploy.console import Step
from tests.contracts import processes

_MODULE = Path(__file__).parent / "metadata_mock"
_PACKAGE = "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock"
_PROGRAM = "ec2-metadata-mock"


@cache
def program() -> Path:
    """Returns the program; builds it first if there is none."""
    sources = stamps.digest_files(_MODULE, _MODULE.iterdir())
    folder = paths.cache_folder() / _PROGRAM / sources[:16]
    with (paths.cache_folder() / f"{_PROGRAM}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several processes may need it at once
        if not folder.is_dir():
            with stamps.staged(folder) as staging:
                step = Step("Metadata service", paths.logs_folder("setup") / f"{_PROGRAM}.log")
                toolchain.build_go(
                    _PACKAGE,
                    staging / _PROGRAM,
                    step,
                    module=_MODULE,
                    go=(1, 26),
                    environ={"CGO_ENABLED": "0"},
                    instead="leave these tests out",
                )
    return folder / _PROGRAM


@asynccontextmanager
async def running_metadata(
    folder: Path, instance_id: str, region: str, *options: str
) -> AsyncIterator[str]:
    """Runs the service of an instance that the cloud takes back; yields its address.

    `options` are those of its command `spot`. It takes requests with a token alone (IMDSv2).
    """
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    config = folder / "metadata.json"
    values = {"instance-id": instance_id, "placement-region": region}
    config.write_text(json.dumps({"metadata": {"values": values}}))
    command = [str(await asyncio.to_thread(program)), "spot", "--imdsv2", *options]
    command += ["--hostname", "127.0.0.1", "--port", str(port), "--config-file", str(config)]
    env = processes.environ(folder)
    address = f"http://127.0.0.1:{port}"
    streams = {"cwd": folder, "env": env, "stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
    async with (
        processes.child(*command, **streams),
        httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(retries=6)) as client,
    ):
        await client.get(address)  # tried again until it listens
        yield address
