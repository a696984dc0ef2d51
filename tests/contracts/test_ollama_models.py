"""Tests how an Ollama loads, pulls and deletes models."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from llm_router.connections.record import Connection
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    StatusError,
    UpstreamError,
)
from llm_router.failures import FailureClass
from llm_router.management.probe import probe
from llm_router.net.guard import AddressGuard
from llm_router.providers.base import ModelManager, PullProgress
from llm_router.providers.ollama.provider import Ollama
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer
from llm_router.types import Chunk
from tests.contracts.wire import (
    REQUEST,
    TEXT,
    connect,
    http,
    raw_server,
    read,
    serve,
    text,
)

OLLAMA: dict[str, Any] = {"provider": "ollama", "model_name": "tiny"}


# --- Loading


async def test_a_model_in_memory_is_asked_at_once_and_not_loaded_again() -> None:
    async with serve(**OLLAMA) as (server, provider):
        await provider.warm()
        for _ in range(3):
            chunks = await read(provider)
    assert not any(chunk.loading for chunk in chunks)
    assert len(server.ollama.load_requests) == 1


async def test_a_model_is_loaded_with_the_options_of_its_requests() -> None:
    fields: dict[str, Any] = {
        "context_length": 512,
        "extra_body": {"keep_alive": "1h", "num_gpu": 0},
    }
    async with serve(**OLLAMA, **fields) as (server, provider):
        await provider.warm()
        assert server.ollama.load_requests[0]["keep_alive"] == "1h"
        assert server.ollama.load_requests[0]["options"] == {"num_ctx": 512, "num_gpu": 0}


@pytest.mark.parametrize("keep_alive", [0, "0", "0s", "0m"])
async def test_a_keep_alive_of_zero_does_not_unload_the_model_instead_of_loading_it(
    keep_alive: Any,
) -> None:
    async with serve(**OLLAMA, extra_body={"keep_alive": keep_alive}) as (server, provider):
        await provider.warm()
        assert "keep_alive" not in server.ollama.load_requests[0]


async def test_a_model_that_is_being_loaded_says_so_before_its_first_word() -> None:
    async with serve(**OLLAMA) as (server, provider):
        server.ollama.load_time = 0.4
        chunks = await read(provider)
    assert chunks[0] == Chunk(loading=True)
    assert text(chunks) == TEXT


async def test_loading_continues_when_its_request_is_gone() -> None:
    async with serve(**OLLAMA) as (server, provider):
        server.ollama.load_time = 0.4
        for _ in range(2):
            async with aclosing(provider.stream(REQUEST)) as stream:
                assert (await anext(stream)).loading
        await provider.warm()
        assert server.ollama.loaded == {"tiny"}
        assert len(server.ollama.load_requests) == 1
        assert not (await read(provider))[0].loading


async def test_closing_the_provider_cancels_loading() -> None:
    async with serve(**OLLAMA) as (server, provider):
        server.ollama.load_time = 60.0
        async with aclosing(provider.stream(REQUEST)) as stream:
            assert (await anext(stream)).loading
    assert server.ollama.loaded == set()


async def test_a_server_that_hangs_does_not_pass_for_one_that_loads() -> None:
    async with raw_server(hold=True) as url, connect(url, **OLLAMA) as provider:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                assert await read(provider) == []


async def test_a_model_that_fails_to_load_says_why() -> None:
    said = json.dumps({"error": "model requires more system memory (9 GiB)"}).encode()
    async with raw_server(http("500 Oh", said)) as url, connect(url, **OLLAMA) as provider:
        for _ in range(2):
            with pytest.raises(StatusError) as caught:
                await read(provider)
            assert "more system memory" in caught.value.detail


async def test_a_probe_of_a_model_that_is_being_loaded_says_so() -> None:
    async with FaultyServer() as server:
        server.ollama.load_time = 60.0
        connection = Connection(name="box", base_url=server.base_url, timeout=0.5, **OLLAMA)
        result = await probe(connection, "Hi?")
    assert result.failure
    assert result.failure.kind is FailureClass.LOADING
    assert "until the model is loaded" in result.failure.advice


# --- Pulling and deleting


async def pulled(provider: Any, model: str) -> list[PullProgress]:
    assert isinstance(provider, ModelManager)
    async with aclosing(provider.pull(model)) as progress:
        return [step async for step in progress]


async def test_a_pull_reports_its_progress() -> None:
    async with serve(**OLLAMA) as (_, provider):
        steps = await pulled(provider, "new:1b")
        assert "new:1b" in await provider.models()
    layer = [step for step in steps if step.digest]
    assert [step.completed for step in layer] == [None, 250, 500, 750, 1000]
    assert {step.total for step in layer} == {1000}
    assert (steps[0].status, steps[-1].status) == ("pulling manifest", "success")


async def test_an_error_in_the_middle_of_a_pull_is_raised() -> None:
    async with serve(**OLLAMA) as (_, provider):
        with pytest.raises(StatusError) as caught:
            await pulled(provider, "missing")
    assert caught.value.detail == "pull model manifest: file does not exist"


async def test_a_pull_that_breaks_off_is_an_error() -> None:
    said = http("200 OK", b'{"status": "pulling"}\n')
    async with raw_server(said) as url, connect(url, **OLLAMA) as provider:
        with pytest.raises(BrokenStreamError):
            await pulled(provider, "new")


async def test_a_model_is_deleted_once() -> None:
    async with serve(**OLLAMA) as (_, provider):
        assert isinstance(provider, Ollama)
        await provider.delete("faulty:latest")
        assert await provider.models() == []
        with pytest.raises(StatusError) as caught:
            await provider.delete("faulty:latest")
    assert caught.value.status == 404


async def test_the_models_in_memory_are_listed() -> None:
    async with serve(**OLLAMA) as (_, provider):
        assert isinstance(provider, Ollama)
        assert await provider.loaded() == []
        await provider.warm()
        assert await provider.loaded() == ["tiny"]


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("qwen3:4b", True),
        ("user/model", True),
        ("hf.co/user/model", True),
        ("registry.ollama.ai/library/qwen3", True),
        ("10.0.0.7/library/model", False),
        ("10.0.0.7:5000/library/model", False),
        ("localhost:5000/model", False),
        ("http://hf.co/user/model", False),
        ("evil.example/user/model", False),
    ],
)
async def test_a_private_registry_needs_a_guard_that_allows_any_address(
    model: str, *, allowed: bool
) -> None:
    connection = Connection(name="box", base_url="http://127.0.0.1:1", **OLLAMA)
    guard = AddressGuard(allowed=("127.0.0.0/8",))
    for guard_, may in ((guard, allowed), (AddressGuard(allow_private=True), True), (None, True)):
        provider = Ollama(connection, ManualClock(), guard_)
        with pytest.raises(UpstreamError) as caught:
            await pulled(provider, model)
        assert isinstance(caught.value, AddressRefusedError) is not may
        await provider.aclose()
