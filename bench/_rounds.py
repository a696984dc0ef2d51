"""Rounds: all contenders answer side by side while one fault lasts, each at servers of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench._cases import HEALTHY, PRIMARY_FIRST_WORD, SPARE_FIRST_WORD, Case
from bench._contenders import Contender, Speaker
from bench._servers import ModelServer, model_server
from bench._table import Progress
from bench._turn import Row, Turn, listen

_APART = 0.03  # s between two contenders' questions, so that none waits for another's work


class Lane:
    """A contender with two servers of its own: what one wastes is no other's load."""

    def __init__(self, contender: Contender, primary: ModelServer, spare: ModelServer) -> None:
        self.contender = contender
        self._primary, self._spare = primary, spare
        self._open = AsyncExitStack()
        self._speaker: Speaker | None = None

    async def ready(self) -> None:
        """Open the contender, unless it is open: what that takes is nobody's first word."""
        if self._speaker is None:
            urls = [self._primary.base_url, self._spare.base_url]
            self._speaker = await self._open.enter_async_context(self.contender.opens(urls))

    async def turn(self, wait: float) -> Turn:
        assert self._speaker is not None
        await asyncio.sleep(wait)
        return await listen(self._speaker)

    async def over(self) -> None:
        """After a turn: whoever is cold is new in the next."""
        if not self.contender.healthy_turns:
            await self.close()

    async def close(self) -> None:
        self._speaker = None
        await self._open.aclose()

    async def behave(self, case: Case) -> None:
        await self._primary.behave(case.primary, one_in=case.one_in)

    async def words_sent(self) -> int:
        return await self._primary.words_sent() + await self._spare.words_sent()


@asynccontextmanager
async def lanes(contenders: Sequence[Contender]) -> AsyncIterator[Sequence[Lane]]:
    async with AsyncExitStack() as stack:
        opened = []
        for contender in contenders:
            primary = await stack.enter_async_context(model_server(PRIMARY_FIRST_WORD))
            spare = await stack.enter_async_context(model_server(SPARE_FIRST_WORD))
            opened.append(Lane(contender, primary, spare))
        yield opened


async def play(case: Case, among: Sequence[Lane], turns: int, progress: Progress) -> Sequence[Row]:
    """So many turns with this fault, all contenders in each round."""
    heard: Mapping[str, list[Turn]] = {lane.contender.name: [] for lane in among}
    try:
        await _warm_up(among, progress)
        before = [await lane.words_sent() for lane in among]
        for lane in among:
            await lane.behave(case)
        for number in range(turns):
            progress(f"{case.name}: turn {number + 1} of {turns}")
            for lane, turn in zip(among, await _round(among, number), strict=True):
                heard[lane.contender.name].append(turn)
    finally:
        for lane in among:
            await lane.close()
    return [
        Row(
            case=case,
            contender=lane.contender.name,
            turns=heard[lane.contender.name],
            generated=await lane.words_sent() - sent,
        )
        for lane, sent in zip(among, before, strict=True)
    ]


async def _warm_up(among: Sequence[Lane], progress: Progress) -> None:
    for lane in among:
        await lane.behave(HEALTHY)
    for number in range(max(lane.contender.healthy_turns for lane in among)):
        progress(f"healthy turn {number + 1} before the fault")
        await _round([lane for lane in among if number < lane.contender.healthy_turns], number)


async def _round(among: Sequence[Lane], number: int) -> Sequence[Turn]:
    """One turn of each, all under way at once; who begins changes from round to round."""
    for lane in among:
        await lane.ready()
    turns = await asyncio.gather(
        *(lane.turn(_APART * ((place + number) % len(among))) for place, lane in enumerate(among))
    )
    for lane in among:
        await lane.over()
    return turns
