"""Walks a page of the documentation as its reader would: types its commands, and asks the agent.

A `console` block is a terminal: a line after `$` is typed, the others must be shown, in this order;
`...` stands for anything, and a number for any number. A `text` block must be shown by a terminal
that is still open. A `python` block is saved under the name in its first line. A sentence such as
`type "A question". The agent answers "some words"` is asked in a call.
"""

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from deploy import paths
from tests.voice.caller import call

UNTIL_CTRL_C = "# until Ctrl-C"
_ANSWERED_WITHIN = 150.0
_WITHIN = 240.0
"""Time limit (s) of one command or answer; long, since the machine may be busy."""
_PARTS = (
    "agent",
    "config",
    "deploy",
    "llm_router",
    "web/widget/dist",
    "Makefile",
    "pyproject.toml",
)
_IGNORED = shutil.ignore_patterns("connections.json", ".env")
_STEP = re.compile(
    r"^```(?P<kind>\w*)\n(?P<block>.*?)^```$"
    r"|<(?P<address>http\S+)>[^<`]*?type\s+\"(?P<question>[^\"]+)\"[^\"`]*answers\s+\"(?P<answer>[^\"]+)\"",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Command:
    """A command, and the lines that it must show."""

    typed: str
    shown: Sequence[str]

    @property
    def runs_on(self) -> bool:
        return self.typed.endswith(UNTIL_CTRL_C)


@dataclass(frozen=True)
class Terminal:
    commands: Sequence[Command]


@dataclass(frozen=True)
class Shown:
    lines: Sequence[str]


@dataclass(frozen=True)
class SavedFile:
    name: str
    text: str


@dataclass(frozen=True)
class Question:
    address: str
    question: str
    answer: str


Step = Terminal | Shown | SavedFile | Question


def walks(page: str) -> dict[str, list[Step]]:
    """Returns the steps below each heading of a page. Raises ValueError for any other block."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], map(_steps, parts[2::2]), strict=True))
    return {title: steps for title, steps in found.items() if steps}


def _steps(text: str) -> list[Step]:
    return [_step(match) for match in _STEP.finditer(text)]


def _step(match: re.Match[str]) -> Step:
    if match["question"]:
        plain = [" ".join(match[name].split()) for name in ("address", "question", "answer")]
        return Question(*plain)
    block: str = match["block"]
    match match["kind"]:
        case "console" if block.startswith("$ "):
            return Terminal(
                [_command(text) for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
            )
        case "text":
            return Shown(block.splitlines())
        case "python" if block.startswith("# "):
            return SavedFile(block.partition("\n")[0].removeprefix("# "), block)
    raise ValueError(f"nobody can walk this block: {match[0]}")


def _command(text: str) -> Command:
    typed, *shown = text.splitlines()
    return Command(typed, shown)


def shows(output: str, lines: Sequence[str]) -> bool:
    """Returns whether the output has these lines, in this order."""
    rest = iter(output.splitlines())
    return all(any(_pattern(line).search(real) for real in rest) for line in lines if line != "...")


def _pattern(line: str) -> re.Pattern[str]:
    parts = [re.escape(part.strip()) for part in line.split("...")]
    return re.compile(re.sub(r"\d+", r"\\d+", ".*".join(parts)))


@dataclass
class _Running:
    """A command in a terminal of its own, and what it has shown so far."""

    typed: str
    process: asyncio.subprocess.Process
    output: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self) -> None:
        assert self.process.stdout is not None
        while piece := await self.process.stdout.readline():
            async with self.changed:
                self.output += piece.decode(errors="replace")
                self.changed.notify_all()
        await self.process.wait()
        async with self.changed:
            self.changed.notify_all()

    async def until_shown(self, lines: Sequence[str]) -> None:
        async with self.changed:
            await self.changed.wait_for(
                lambda: shows(self.output, lines) or self.process.returncode is not None
            )
        assert shows(self.output, lines), lines

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Does what Ctrl-C does: the signal goes to all processes of the terminal."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Walk:
    """A reader with a folder, and open terminals. `ports` are used in place of the page's."""

    def __init__(self, folder: Path, environ: Mapping[str, str], ports: Mapping[int, int]) -> None:
        self._folder = folder
        self._environ = environ
        self._ports = {str(port): str(other) for port, other in ports.items()}
        self._exports: dict[str, str] = {}
        self._running: list[_Running] = []
        self._readers: set[asyncio.Task[None]] = set()

    async def take(self, step: Step) -> None:
        """Does what a step says. Raises AssertionError when something else is seen."""
        try:
            async with asyncio.timeout(_WITHIN):
                await self._take(step)
        except (TimeoutError, AssertionError) as error:
            screens = "\n".join(f"$ {one.typed}\n{one.output}" for one in self._running)
            raise AssertionError(f"{step}: {str(error) or 'took too long'}\n{screens}") from None

    async def _take(self, step: Step) -> None:
        match step:
            case Terminal(commands):
                await self._type(commands)
            case SavedFile(name, text):
                (self._folder / name).write_text(self._local(text))
            case Shown(lines):
                outputs = [one.output for one in self._running]
                assert any(shows(output, lines) for output in outputs)
            case Question():
                await self._ask(step)

    def _local(self, text: str) -> str:
        return re.sub(r"\d+", lambda number: self._ports.get(number[0], number[0]), text)

    async def _type(self, commands: Sequence[Command]) -> None:
        exports: list[str] = []
        for command in commands:
            if command.typed.startswith("export "):
                exports.append(self._local(command.typed))
                continue
            running = await self._start(" && ".join([*exports, self._local(command.typed)]))
            if command.runs_on:
                await running.until_shown(command.shown)
                assert running.process.returncode is None, "it ended"
                continue
            status = await running.process.wait()
            await asyncio.wait(self._readers, timeout=0)
            await running.until_shown(command.shown)
            assert status == 0, status
            self._running.remove(running)

    async def _start(self, typed: str) -> _Running:
        process = await asyncio.create_subprocess_shell(
            typed,
            executable="/bin/bash",
            cwd=self._folder,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        running = _Running(typed, process)
        self._running.append(running)
        self._readers.add(asyncio.create_task(running.read()))
        return running

    async def _ask(self, asked: Question) -> None:
        """Joins a call as the page does, types the question, and waits for words and sound."""
        async with httpx2.AsyncClient(trust_env=False) as client:
            token = (await client.post(f"{self._local(asked.address)}/token", json={})).json()
        async with call(
            token["server_url"], token["participant_token"], microphone=False
        ) as caller:
            since = asyncio.get_running_loop().time()
            await caller.type(asked.question)
            await caller.wait_until(
                lambda me: asked.answer in me.transcript(by_agent=True, since=since),
                _ANSWERED_WITHIN,
            )

    async def close(self) -> None:
        """Presses Ctrl-C in every open terminal, the last first; all of them must end by it."""
        try:
            for running in reversed(self._running):
                running.interrupt()
                async with asyncio.timeout(_WITHIN):
                    await running.process.wait()
                assert "Traceback" not in running.output, running.output
        finally:
            for running in self._running:
                running.interrupt(signal.SIGKILL)
            await asyncio.gather(*self._readers)


def _copy_checkout(folder: Path) -> None:
    """Copies the product without a person's own settings; its packages and programs are linked."""
    for part in _PARTS:
        source, target = paths.ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=_IGNORED)
        else:
            shutil.copy(source, target)
    (folder / ".venv").symlink_to(paths.VENV)


@asynccontextmanager
async def walking(
    folder: Path, environ: Mapping[str, str], ports: Mapping[int, int]
) -> AsyncIterator[Walk]:
    """Copies the checkout into the folder and walks there; ends all that still runs."""
    await asyncio.to_thread(_copy_checkout, folder)
    walk = Walk(folder, environ, ports)
    try:
        yield walk
    finally:
        await walk.close()
