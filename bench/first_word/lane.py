"""A contender with two model servers of its own, all in processes of their own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.first_word.cases import CASES, HEALTHY, PRIMARY_FIRST_WORD, SPARE_FIRST_WORD, Case
from bench.first_word.contenders import Contender
from bench.first_word.servers import ModelServer, model_server
from bench.first_word.turn import Row, Turn
from deploy import environments

_ROOT = Path(__file__).parents[2]
CALLERS = 3
"""At once. A cold contender is new for each of them; a warm one is shared."""
_ANSWERS = 60.0
"""Seconds for any command; the longest turn is far below."""
_LINE = 1 << 24  # bytes of an answer, at most
_REHEARSED = [case for case in CASES if case.name in {"status_500", "hang"}]
"""Played once, uncounted: what a library imports at its first failure is nobody's first word."""


class Lane:
    """Plays faults to one contender. `versions`: of the packages it stands on."""

    def __init__(
        self, contender: Contender, process: Process, servers: Sequence[ModelServer]
    ) -> None:
        self.contender = contender
        self.versions: Mapping[str, str] = {}
        self._process = process
        self._primary, self._spare = servers

    async def rehearse(self) -> None:
        self.versions = await self._answer()
        for case in [HEALTHY, *_REHEARSED]:
            await self._behave(case)
            await self._open(1)
            await self._ask(1)

    async def play(self, case: Case, turns: int) -> Row:
        """So many turns with this fault, CALLERS at once."""
        warm = self.contender.healthy_turns
        await self._behave(HEALTHY)
        if warm:
            await self._open(1)
            await self._rounds(warm)
        sent = await self._words_sent()
        await self._behave(case)
        heard = await self._rounds(turns)
        await self._open(0)
        generated = await self._words_sent() - sent
        await self._behave(HEALTHY)
        return Row(case=case, contender=self.contender.name, turns=heard, generated=generated)

    async def _rounds(self, turns: int) -> Sequence[Turn]:
        heard: list[Turn] = []
        while len(heard) < turns:
            callers = min(CALLERS, turns - len(heard))
            if not self.contender.healthy_turns:
                await self._open(callers)
            heard += await self._ask(callers)
        return heard

    async def _open(self, times: int) -> None:
        """Anew; what that takes is nobody's first word."""
        addresses = [self._primary.base_url, self._spare.base_url]
        opening = {"open": self.contender.setting, "addresses": addresses, "times": times}
        await self._tell(opening)

    async def _ask(self, callers: int) -> Sequence[Turn]:
        return [Turn(**turn) for turn in await self._tell({"callers": callers})]

    async def _tell(self, command: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_ANSWERS):
                return json.loads(await self._process.stdout.readline())
        except (TimeoutError, ValueError) as error:
            raise RuntimeError(
                f"{self.contender.name} did not answer; what it printed last tells why. "
                f"Run it alone: --contenders {self.contender.product!r}"
            ) from error

    async def _behave(self, case: Case) -> None:
        await self._primary.behave(case.primary, one_in=case.one_in)
        await self._spare.behave(case.spare, one_in=case.one_in)

    async def _words_sent(self) -> int:
        return await self._primary.words_sent() + await self._spare.words_sent()


def python_of(environment: str | None) -> Path:
    """The Python of a peer's environment, made if it is missing; ours for None."""
    if environment is None:
        return Path(sys.executable)
    return environments.provide(
        environment,
        f"An environment for {environment}",
        instead="leave this peer out (--contenders)",
    )


@asynccontextmanager
async def lane(contender: Contender) -> AsyncIterator[Lane]:
    """A lane for as long as the block lasts, rehearsed and ready to play."""
    async with model_server(PRIMARY_FIRST_WORD) as primary, model_server(SPARE_FIRST_WORD) as spare:
        program = [str(python_of(contender.environment)), "-m", contender.module]
        process = await asyncio.create_subprocess_exec(
            *program, stdin=PIPE, stdout=PIPE, cwd=_ROOT, limit=_LINE
        )
        try:
            opened = Lane(contender, process, [primary, spare])
            await opened.rehearse()
            yield opened
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
