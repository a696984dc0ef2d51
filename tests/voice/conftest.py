"""One house for all tests here: they share its processes and sockets, and so one loop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from llm_router.testing.server import Script
from tests.contracts.databases import cluster
from tests.voice.stack import House, running_house

__all__ = ["cluster", "house", "shared_house"]

_STARTING = 600
"""Seconds: on a fresh machine the first test waits for the LiveKit server to be built."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(_STARTING))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with running_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def house(shared_house: House) -> House:
    """Everything, with both model servers well and nothing asked of them yet."""
    await shared_house.behave(Script())
    shared_house.first.requests.clear()
    shared_house.spare.requests.clear()
    return shared_house
