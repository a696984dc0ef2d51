"""Starts, watches and stops a group of processes together with their children."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy import paths, service_log

POLL_INTERVAL = 0.1  # s


class ServiceError(Exception):
    """A service ended or did not become ready; the message names it and shows its log's end."""


@dataclass(frozen=True)
class Service:
    """A command to run, a check that it is ready, and time limits (s) for starting and stopping."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[Path], bool]  # called in a thread, with the log
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    ready_within: float = 60.0
    stop_within: float = 5.0


@dataclass(frozen=True)
class Running:
    """A started service."""

    service: Service
    process: asyncio.subprocess.Process
    log: Path

    def error(self, what: str) -> ServiceError:
        """Returns an error that names the service and shows what its log says of it."""
        end = [f"    {line}" for line in service_log.summary(self.log)]
        return ServiceError("\n".join([f"{self.service.name} {what}.", *end, f"Log: {self.log}"]))

    async def end(self, patience: float) -> None:
        """Terminates the service, waits up to `patience` seconds, then kills its whole group.

        On cancellation, kills the group at once.
        """
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(patience):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            self.signal_group(signal.SIGKILL)
        await self.process.wait()
        # Its children cannot be awaited; the kernel needs a moment to remove them.
        for _ in range(10):
            if not self.signal_group(0):
                break
            await asyncio.sleep(POLL_INTERVAL / 2)

    def signal_group(self, number: int) -> bool:
        """Signals the service and its children; returns False if none of them is left."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS refuses to signal zombies
            return False
        return True


class Supervisor:
    """Owns the processes it starts, each the leader of its own process group."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Running] = []

    async def start(self, *services: Service) -> None:
        """Starts the services at the same time and returns when all are ready.

        Raises ServiceError if one of them cannot start, ends, or is not ready in time.
        """
        started = [await self._spawn(service) for service in services]
        for running in started:
            await _until_ready(running)

    async def watch(self) -> None:
        """Waits until a service ends by itself, and raises a ServiceError that names it."""
        ends = {asyncio.ensure_future(one.process.wait()): one for one in self._running}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in ends:
                waiter.cancel()
        for waiter in done:
            raise ends[waiter].error(_describe_exit(waiter.result()))

    def kill(self) -> None:
        """Kills all services at once, as a crash would; `stop` cleans up after them."""
        for one in self._running:
            one.signal_group(signal.SIGKILL)

    async def stop(self) -> None:
        """Stops all services, the last started first; on cancellation, kills the remaining ones."""
        hurry = False
        while self._running:
            one = self._running.pop()
            try:
                await one.end(0 if hurry else one.service.stop_within)
            except asyncio.CancelledError:
                hurry = True
                self._running.append(one)

    async def _spawn(self, service: Service) -> Running:
        log = self._logs / f"{service.name.lower().replace(' ', '-')}.log"
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *service.command,
                    cwd=paths.ROOT,
                    env=dict(service.environ),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ServiceError(f"{service.name} could not be started: {error}") from error
        running = Running(service, process, log)
        self._running.append(running)
        return running


async def _until_ready(running: Running) -> None:
    service = running.service
    try:
        async with asyncio.timeout(service.ready_within):
            while not await asyncio.to_thread(service.ready, running.log):
                if running.process.returncode is not None:
                    raise running.error(_describe_exit(running.process.returncode))
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        raise running.error(f"was not ready after {service.ready_within:.0f} s") from None


def _describe_exit(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
