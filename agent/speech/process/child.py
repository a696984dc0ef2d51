"""Starts and ends a speech process of this process."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

READY = "ready"
"""Line that a speech process writes once it listens. Any other says why it does not."""
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy's threads would spin for a while after each product, and slow the model on two cores by a
third."""
_TO_END = 5.0
"""Seconds in which it must end after its standard input was closed."""

_TO_ANSWER = 10.0


class SpeechProcessError(Exception):
    """A speech process did not start, or has ended. The message is a sentence."""


class SpeechProcess:
    """A speech process that has loaded its models and listens; `start` makes one."""

    def __init__(self, process: Process, socket: Path) -> None:
        self._process = process
        self._socket = socket

    @classmethod
    async def start(cls, socket: Path, models: Sequence[str]) -> "SpeechProcess":
        """Starts a speech process and waits until it listens on `socket`.

        Raises SpeechProcessError with its reason if it ends before. Cancelled, it ends the process.
        """
        module = [sys.executable, "-m", "agent.speech.process"]
        env = {**os.environ, **_ENVIRONMENT}
        process = await asyncio.create_subprocess_exec(
            *module, "--socket", str(socket), *models, stdin=PIPE, stdout=PIPE, env=env
        )
        started = cls(process, socket)
        try:
            line = await process.stdout.readline() if process.stdout else b""
        except BaseException:
            await started.aclose()
            raise
        if (text := line.decode(errors="replace").strip()) != READY:
            await started.aclose()
            raise SpeechProcessError(text or f"it ended with status {process.returncode}")
        return started

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Waits until it ends, and returns its status."""
        return await self._process.wait()

    async def answers(self) -> bool:
        """Returns whether it answers within 10 s, for which it needs some milliseconds."""
        try:
            async with asyncio.timeout(_TO_ANSWER):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(b"GET / HTTP/1.1\r\nhost: speech\r\nconnection: close\r\n\r\n")
                    return bool(await reader.readline())
                finally:
                    writer.close()
        except OSError:  # a TimeoutError is one, too
            return False

    async def aclose(self) -> None:
        """Ends it; kills it if it takes longer than 5 s."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_TO_END):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
