"""Shares one voice stack, and so one event loop, between all tests of this folder."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from inspect import iscoroutinefunction
from pathlib import Path
from zlib import crc32

import pytest
import pytest_asyncio

from llm_router.testing.server import Script
from tests.contracts.databases import cluster
from tests.voice.caller import VOICES
from tests.voice.stack import VoiceStack, running_stack

__all__ = ["cluster", "shared_stack", "stack"]

_STARTING = 600
"""Time limit (s): on a fresh machine the first test waits for the LiveKit server to be built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_the_loop(items, Path(__file__).parent)


def share_the_loop(items: list[pytest.Item], folder: Path) -> None:
    """Gives the tests of a folder the event loop of the stack, and time for its start."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.timeout(_STARTING))
            if isinstance(item, pytest.Function) and iscoroutinefunction(item.function):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VoiceStack]:
    async with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(shared_stack: VoiceStack, request: pytest.FixtureRequest) -> VoiceStack:
    """The voice stack, with both model servers well and without requests so far.

    The test's name decides the voices of its callers, so that a test that runs alone has the same.
    """
    await shared_stack.behave(Script())
    shared_stack.first.requests.clear()
    shared_stack.spare.requests.clear()
    first = crc32(request.node.name.encode()) % len(VOICES)
    return replace(shared_stack, voices=itertools.islice(itertools.cycle(VOICES), first, None))
