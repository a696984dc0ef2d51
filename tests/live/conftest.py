"""Each server is started once for all tests here, which share one loop.

What is light runs always: llama.cpp, and Ollama where it was built before. The rest is marked
`live`; `make test-live` builds and runs it all.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from deploy import engines
from tests.live.engines import Engine, running
from tests.live.kinds import KINDS, Kind

_STARTING = 600
"""Seconds: on a fresh machine the first test waits for its server to be built."""


def _is_light(kind: Kind) -> bool:
    return kind.engine == "llama_cpp" or (kind.engine == "ollama" and engines.is_ollama_built())


def marks(*kinds: Kind) -> list[pytest.MarkDecorator]:
    return [] if all(map(_is_light, kinds)) else [pytest.mark.live]


_ALL = [pytest.param(kind, id=kind.name, marks=marks(kind)) for kind in KINDS.values()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(_STARTING))


class Engines:
    """Servers by kind and pace, each started when it is first asked for."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._started: dict[tuple[str, bool], Engine] = {}

    async def get(self, kind: Kind, *, slow: bool = False) -> Engine:
        """A running one: started again if a test has killed it."""
        key = (kind.name, slow)
        if key not in self._started:
            folder = self._folder / f"{kind.name}-{slow}"
            folder.mkdir()
            started = await self._stack.enter_async_context(running(kind, folder, slow=slow))
            self._started[key] = started
        await self._started[key].run()
        return self._started[key]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def all_engines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engines]:
    async with AsyncExitStack() as stack:
        yield Engines(stack, tmp_path_factory.mktemp("engines"))


@pytest_asyncio.fixture(loop_scope="session", params=_ALL)
async def engine(request: pytest.FixtureRequest, all_engines: Engines) -> Engine:
    return await all_engines.get(request.param)


@pytest_asyncio.fixture(loop_scope="session", params=_ALL)
async def slow_engine(request: pytest.FixtureRequest, all_engines: Engines) -> Engine:
    return await all_engines.get(request.param, slow=True)


@pytest_asyncio.fixture(loop_scope="session")
async def spare(all_engines: Engines) -> Engine:
    """The server that stands in where another fails."""
    return await all_engines.get(KINDS["llama_cpp"])
