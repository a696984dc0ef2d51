"""Each server is started once for all tests here, which share one loop.

What is light runs always: llama.cpp, and Ollama where it was built before. The rest is marked
`live`; `make test-live` builds and runs it all.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.engines import Engine, Engines, marks
from tests.live.kinds import KINDS, SERVERS

_BUILDING, _STARTING = 1200, 300
"""Seconds: on a fresh machine the first test waits for its server, and a heavy one to be built."""
_SERVERS = [pytest.param(kind, id=kind.name, marks=marks(kind)) for kind in SERVERS]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            is_heavy = item.get_closest_marker("live")
            item.add_marker(pytest.mark.timeout(_BUILDING if is_heavy else _STARTING))


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
    """The server that stands in where another fails."""
    return await all_engines.get(KINDS["llama_cpp"])
