"""Stands for a plugin whose library cannot start in this environment."""

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn

from llm_router.connections.record import Continuation
from llm_router.errors import UnreachableError
from llm_router.types import ChatRequest, Chunk


class UnavailableProvider:
    """Implements Provider (`base.py`): every request raises the fault, which names its variable."""

    continuation: Continuation = "words"
    last_resort = False

    def __init__(self, fault: UnreachableError) -> None:
        self._fault = fault

    async def warm(self) -> None:
        """Does nothing: the first request says what is wrong."""

    async def stream(self, _: ChatRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in await self.models():
            yield Chunk(chunk)

    async def probe(self) -> NoReturn:
        raise self._fault

    async def models(self) -> Sequence[str]:
        raise self._fault

    async def aclose(self) -> None: ...
