"""The printed command stores a connection that was found but not used; calls then use it."""

import asyncio
import shlex
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from llm_router.discovery.unused import UnusedConnection
from llm_router.stored_router import (
    KnownConnections,
    StoreOptions,
    load_known,
    load_unused,
    open_stored_router,
)
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ChatRequest
from tests.contracts.cli_shell import KEY, Shell
from tests.contracts.threads import in_a_thread

HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], integration="livekit")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_a_thread(FaultyServer(Script(words=["found"]))) as server:
        yield server


def with_variables(shell: Shell, found: Mapping[str, str]) -> Shell:
    return Shell({**shell.environ, **found})


async def load(shell: Shell, found: Mapping[str, str]) -> tuple[StoreOptions, KnownConnections]:
    """Loads what a worker with these variables knows."""
    options = StoreOptions(
        database=shell.environ["DATABASE_URL"],
        master_keys=(shell.environ["ENCRYPTION_KEYS"],),
        master_key_file=Path("none.key"),
        connections_file=Path("none.json"),
        scoreboard="off",
    )
    return options, await load_known(options, found)


async def unused(shell: Shell, found: Mapping[str, str]) -> list[UnusedConnection]:
    return await load_unused(*await load(shell, found))


async def reply(shell: Shell, found: Mapping[str, str]) -> str:
    options, known = await load(shell, found)
    async with (
        open_stored_router(options, known, policy="priority") as router,
        aclosing(router.stream(HELLO)) as chunks,
    ):
        return "".join([chunk.text async for chunk in chunks])


@pytest.mark.parametrize("stored", ["openai", "the old one"])
def test_the_printed_command_is_run_and_the_connection_is_used(
    here: Shell, server: FaultyServer, unused_url: str, stored: str
) -> None:
    address = ("--base-url", unused_url, "--model", "m", "--no-test")
    here("connections", "add", stored, *address, "--key", "env:OLD", OLD="sk-old-0123456789")
    found = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "DEFAULT_MODEL": "m"}
    (one,) = asyncio.run(unused(here, found))
    assert KEY not in f"{one} {one!r}"
    program, *arguments = shlex.split(one.command)
    assert program == "llm-router"
    assert arguments[1] == ("edit" if stored == "openai" else "add")
    with_variables(here, found)(*arguments)
    assert asyncio.run(reply(here, found)) == "found"
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert asyncio.run(unused(here, found)) == []


def test_a_key_that_changed_in_the_environment_is_stored_by_the_printed_command(
    here: Shell, server: FaultyServer
) -> None:
    before = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "DEFAULT_MODEL": "m"}
    address = ("--base-url", server.base_url, "--model", "m", "--no-test")
    key = ("--key", "env:OPENAI_API_KEY")
    with_variables(here, before)("connections", "add", "openai", *address, *key)
    assert asyncio.run(unused(here, before)) == []
    now = before | {"OPENAI_API_KEY": "sk-new-0123456789"}
    (one,) = asyncio.run(unused(here, now))
    assert one.command == "llm-router connections edit openai --key env:OPENAI_API_KEY"
    with_variables(here, now)(*shlex.split(one.command)[1:])
    assert asyncio.run(reply(here, now)) == "found"
    assert server.requests[-1].headers["authorization"] == "Bearer sk-new-0123456789"


def test_the_doctor_names_the_command(here: Shell, server: FaultyServer) -> None:
    found = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY, "DEFAULT_MODEL": "m"}
    settings = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32}

    def find() -> Any:
        findings = with_variables(here, found | settings).json("doctor", code=None)
        (one,) = [finding for finding in findings if finding["subject"] == "environment"]
        return one

    assert "is used while no connection is stored" in find()["message"]
    here.add("rules")
    one = find()
    assert one["state"] == "note"
    assert "llm-router connections add openai --base-url" in one["message"]
