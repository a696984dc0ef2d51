"""Shares one telephone stack, and so one event loop, between all tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from llm_router.testing.server import Script
from tests.phone.outgoing import GREETING, file_with_calls_out
from tests.phone.stack import PhoneStack, running_phone_stack
from tests.voice.conftest import share_the_loop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_the_loop(items, Path(__file__).parent)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PhoneStack]:
    folder = tmp_path_factory.mktemp("stack")
    async with running_phone_stack(folder, PHONE_FILE=str(file_with_calls_out(folder))) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def stack(shared_stack: PhoneStack) -> PhoneStack:
    """The telephone stack, with both model servers well and without requests so far."""
    voice = shared_stack.voice
    await voice.behave(Script())
    voice.first.requests.clear()
    voice.spare.requests.clear()
    return shared_stack


@pytest_asyncio.fixture(loop_scope="session")
async def office(stack: PhoneStack) -> AsyncIterator[None]:
    """An assistant whose words have the names of variables."""
    greeting = GREETING.replace("Miller", "{{doctor}}")
    record = {"name": "office", "greeting": greeting, "instructions": "You call {{name}}."}
    await stack.voice.manage("POST", "/assistants", record)
    yield
    await stack.voice.manage("DELETE", "/assistants/office")
