"""Starts each model server once for all tests here, which share one event loop.

Tests of light servers always run: llama.cpp, and Ollama where it is built already. The others are
marked `live`; `make test-live` builds their servers and runs everything.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.engines import Engine, Engines, marks
from tests.live.kinds import KINDS, SERVERS

_BUILD_TIMEOUT = 1200
_START_TIMEOUT = 300
"""Seconds for one test: the first one waits until its server starts, or is built if it is heavy."""
_SERVERS = [pytest.param(kind, id=kind.name, marks=marks(kind)) for kind in SERVERS]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            is_heavy = item.get_closest_marker("live")
            item.add_marker(pytest.mark.timeout(_BUILD_TIMEOUT if is_heavy else _START_TIMEOUT))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def all_engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    async with AsyncExitStack() as stack:
        yield Engines(stack, tmp_path_factory.mktemp("engines"))


@pytest_asyncio.fixture(loop_scope="session", params=_SERVERS)
async def engine(request: pytest.FixtureRequest, all_engines: Engines) -> Engine:
    return await all_engines.get(request.param)


@pytest_asyncio.fixture(loop_scope="session", params=_SERVERS)
async def slow_engine(request: pytest.FixtureRequest, all_engines: Engines) -> Engine:
    return await all_engines.get(request.param, slow=True)


@pytest_asyncio.fixture(loop_scope="session")
async def spare(all_engines: Engines) -> Engine:
    """The server that takes over when another fails."""
    return await all_engines.get(KINDS["llama_cpp"])
