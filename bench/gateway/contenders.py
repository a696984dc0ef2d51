"""Starts the gateways, each as its documentation says, in front of the same two addresses.

Each may ask the second address when the first fails: ours has it as a further connection, LiteLLM's
proxy as a fallback, with which it also continues a stream that breaks off. The relay has none.
"""

import asyncio
import json
import os
import secrets
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import httpx2

from bench.gateway.load import Target
from bench.gateway.model import MODEL
from deploy import environments

_ROOT = Path(__file__).parents[2]
_STARTS_WITHIN = 60.0
_SHOWN = 2_000
"""Characters of what a gateway printed that an error shows."""
_KEYS = 12
"""API keys of our callers; each may have a hundred replies in progress."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs. `pid` is of its first process; None for the server itself."""

    target: Target
    pid: int | None = None


Start = Callable[[Sequence[str]], AbstractAsyncContextManager[Gateway]]
"""Runs a gateway in front of these addresses while the block runs."""


@asynccontextmanager
async def direct(addresses: Sequence[str]) -> AsyncIterator[Gateway]:
    yield Gateway(Target(addresses[0], MODEL))


@asynccontextmanager
async def relay(addresses: Sequence[str]) -> AsyncIterator[Gateway]:
    port = _free_port()
    program = [sys.executable, "-m", "bench.gateway.relay", str(port), addresses[0]]
    async with _process(program, port, {"PYTHONPATH": str(_ROOT)}) as pid:
        yield Gateway(Target(f"http://127.0.0.1:{port}/v1", MODEL), pid)


@asynccontextmanager
async def patchbay(addresses: Sequence[str]) -> AsyncIterator[Gateway]:
    port = _free_port()
    with TemporaryDirectory() as folder:
        environ = {
            "HOME": folder,
            "PYTHONPATH": str(_ROOT),
            "HTTP_PORT": str(port),
            "GATEWAY_PORT": str(port),
            "API_RATE_LIMIT": "60000/second",
            "LOG_LEVEL": "WARNING",
        }
        # The management API is a process of its own; it fills the database.
        async with _process([sys.executable, "-m", "agent.api"], port, environ, Path(folder)):
            keys = await _configure(f"http://127.0.0.1:{port}", Path(folder), addresses)
        program = [sys.executable, "-m", "agent.gateway"]
        async with _process(program, port, environ, Path(folder)) as pid:
            yield Gateway(Target(f"http://127.0.0.1:{port}/v1", "auto", keys), pid)


async def _configure(url: str, folder: Path, addresses: Sequence[str]) -> list[str]:
    """Stores a connection for each address, and returns the keys of the callers."""
    key = (folder / ".local/state/patchbay/admin.key").read_text().strip()
    async with httpx2.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=20) as client:
        for number, address in enumerate(addresses):
            row = {
                "name": f"model-{number}", "base_url": address, "model_name": MODEL,
                "server": "vllm", "priority": number, "visibility": "everyone",
            }  # fmt: skip
            (await client.post("/api/connections", json=row)).raise_for_status()
        keys = []
        for number in range(_KEYS):
            wanted = {"name": f"caller-{number}", "role": "operator"}
            answer = await client.post("/api/keys", json=wanted)
            keys.append(answer.raise_for_status().json()["key"])
    return keys


def litellm_python() -> Path:
    """Returns the Python of the environment of LiteLLM's proxy, which is made if it is missing."""
    return environments.provide(
        "litellm-proxy",
        "An environment for the proxy of LiteLLM",
        takes="two minutes",
        instead="leave it out (--gateways)",
    )


@asynccontextmanager
async def litellm(addresses: Sequence[str]) -> AsyncIterator[Gateway]:
    """Runs LiteLLM's proxy with a master key alone: keys in a database would cost it more."""
    port = _free_port()
    python = await asyncio.to_thread(litellm_python)
    key = f"sk-{secrets.token_hex(16)}"
    groups = dict(zip(("voice", "spare"), addresses, strict=True))
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{MODEL}", "api_base": url, "api_key": "unused",
                },
            }
            for name, url in groups.items()
        ],
        "router_settings": {"fallbacks": [{"voice": ["spare"]}], "num_retries": 2},
        "litellm_settings": {"telemetry": False},
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(json.dumps(config))  # which is YAML, too
        environ = {
            "HOME": folder,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it downloads one
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": key,
        }
        program = [
            python.with_name("litellm"), "--config", file, "--host", "127.0.0.1",
            "--port", port, "--num_workers", 1, "--telemetry", "False",
        ]  # fmt: skip
        async with _process(list(map(str, program)), port, environ, Path(folder)) as pid:
            yield Gateway(Target(f"http://127.0.0.1:{port}/v1", "voice", [key]), pid)


CONTENDERS: Mapping[str, Start] = {
    "no gateway": direct,
    "bare relay": relay,
    "Patchbay": patchbay,
    "LiteLLM": litellm,
}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def _process(
    program: Sequence[str], port: int, environ: Mapping[str, str], folder: Path = _ROOT
) -> AsyncIterator[int]:
    """Runs a program until it serves at the port, and until the block ends; yields its pid.

    Raises RuntimeError with the end of what it printed if it ends before.
    """
    env = {"PATH": os.environ["PATH"], **environ}
    with TemporaryFile() as printed:
        process = await asyncio.create_subprocess_exec(
            *program, cwd=folder, env=env, stdout=printed, stderr=printed
        )
        try:
            if not await _is_served(process, port):
                printed.seek(0)
                raise RuntimeError(f"a gateway ended: {printed.read().decode()[-_SHOWN:]}")
            yield process.pid
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _is_served(process: Process, port: int) -> bool:
    """Waits until the process answers a request; returns False if it ended instead."""
    async with asyncio.timeout(_STARTS_WITHIN), httpx2.AsyncClient(timeout=5.0) as client:
        while process.returncode is None:
            try:
                await client.get(f"http://127.0.0.1:{port}/healthz")
            except httpx2.HTTPError:
                await asyncio.sleep(0.1)
            else:
                return True
    return False
