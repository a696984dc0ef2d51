"""A contender with two model servers, all in processes of their own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.first_word.cases import CASES, HEALTHY, Case
from bench.first_word.contenders import Contender
from bench.first_word.turn import Row, Turn
from bench.peers.runner import HANG_UP_AFTER, TURN_LIMIT
from bench.servers.model_server import ModelServer, Work, model_server
from bench.servers.reply import PRIMARY_FIRST_WORD, SPARE_FIRST_WORD
from deploy import environments

_ROOT = Path(__file__).parents[2]
_ANSWER_TIMEOUT = 120.0
"""Seconds for any command and for the start; the longest turn is far below."""
_LONGEST_ANSWER = 1 << 24  # bytes
_REHEARSED = [case for case in CASES if case.name in {"status_500", "hang"}]
"""Cases that are run once, uncounted: imports at a library's first failure must delay no turn."""


@dataclass(frozen=True, slots=True)
class Callers:
    """`at_once`: callers who ask at once. A cold contender is new for each of them; a warm one is
    shared. They hang up after `patience` seconds without a word, and in any case after `limit`.
    """

    at_once: int = 3
    patience: float = HANG_UP_AFTER
    limit: float = TURN_LIMIT


class ContenderProcess:
    """Runs cases against one contender. `versions`: of the packages that it uses."""

    def __init__(
        self,
        contender: Contender,
        process: Process,
        servers: Sequence[ModelServer],
        callers: Callers,
    ) -> None:
        self.contender = contender
        self._callers = callers
        self.versions: Mapping[str, str] = {}
        self._process = process
        self._primary, self._spare = servers

    async def rehearse(self) -> None:
        self.versions = await self._read_answer()
        for case in [HEALTHY, *_REHEARSED]:
            await self._behave(case)
            await self._open(case, 1)
            await self._take_turns(Callers(at_once=1))

    async def run(self, case: Case, turns: int) -> Row:
        """Takes so many turns with this fault, as many callers at once as there are."""
        warm = self.contender.healthy_turns
        await self._behave(HEALTHY)
        if warm:
            await self._open(case, 1)
            await self._take_all_turns(HEALTHY, warm)
        before = await self._work()
        await self._behave(case)
        taken = await self._take_all_turns(case, turns)
        await self._open(case, 0)
        work = await self._work() - before
        await self._behave(HEALTHY)
        return Row(
            case=case,
            contender=self.contender.name,
            turns=taken,
            generated=work.words,
            requests=work.requests,
        )

    async def _take_all_turns(self, case: Case, turns: int) -> Sequence[Turn]:
        taken: list[Turn] = []
        while len(taken) < turns:
            callers = min(self._callers.at_once, turns - len(taken))
            if not self.contender.healthy_turns:
                await self._open(case, callers)
            if case.every_turn:
                await self._behave(case)
            taken += await self._take_turns(replace(self._callers, at_once=callers))
        return taken

    async def _open(self, case: Case, times: int) -> None:
        """Opens the contender anew; the time for that is part of no turn."""
        addresses = [self._primary.base_url, self._spare.base_url][: case.servers]
        await self._send({"open": self.contender.setting, "addresses": addresses, "times": times})

    async def _take_turns(self, callers: Callers) -> Sequence[Turn]:
        return [Turn(**turn) for turn in await self._send({"callers": asdict(callers)})]

    async def _send(self, command: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self._read_answer()

    async def _read_answer(self) -> Any:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                return json.loads(await self._process.stdout.readline())
        except (TimeoutError, ValueError) as error:
            raise RuntimeError(
                f"{self.contender.name} did not answer; its last output says why. "
                f"Run it alone: --contenders {self.contender.product!r}"
            ) from error

    async def _behave(self, case: Case) -> None:
        await self._primary.behave(case.primary, case.pattern)
        await self._spare.behave(case.spare, case.pattern)

    async def _work(self) -> Work:
        return await self._primary.work() + await self._spare.work()


def provide_python(environment: str | None) -> Path:
    """Returns the Python of a peer's environment, which is created if it is missing; ours for
    None.
    """
    if environment is None:
        return Path(sys.executable)
    return environments.provide(
        environment,
        f"An environment for {environment}",
        instead="leave this peer out (--contenders)",
    )


@asynccontextmanager
async def start_contender(
    contender: Contender, callers: Callers
) -> AsyncIterator[ContenderProcess]:
    """Runs the processes while the block runs; the contender is rehearsed and ready."""
    async with model_server(PRIMARY_FIRST_WORD) as primary, model_server(SPARE_FIRST_WORD) as spare:
        program = [str(provide_python(contender.environment)), "-m", contender.module]
        process = await asyncio.create_subprocess_exec(
            *program, stdin=PIPE, stdout=PIPE, cwd=_ROOT, limit=_LONGEST_ANSWER
        )
        try:
            started = ContenderProcess(contender, process, [primary, spare], callers)
            await started.rehearse()
            yield started
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
