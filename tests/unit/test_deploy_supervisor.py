"""Tests that processes are started, watched, and stopped together with their children."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.supervisor import Service, ServiceError, Supervisor
from llm_router.clock import checkpoint

# Each stand-in prints when it is ready, and the process id of its child if it has one.
STEADY = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STEADY}"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("child", child.pid, flush=True)
{STEADY}
"""
BROKEN = "print('the disk is full'); raise SystemExit(7)"
FRAIL = "print('ready', flush=True); input()"


def says_ready(log: Path) -> bool:
    return "ready" in log.read_text()


def service(
    name: str,
    script: str,
    *,
    ready: Callable[[Path], bool] = says_ready,
    ready_within: float = 30,
    stop_within: float = 30,
) -> Service:
    command = (sys.executable, "-c", script)
    return Service(name, command, ready, ready_within=ready_within, stop_within=stop_within)


def is_running(pid: int) -> bool:
    """Returns whether a process lives; a zombie does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    await supervisor.stop()


async def test_started_services_are_ready_and_stop_leaves_none(
    stack: Supervisor, tmp_path: Path
) -> None:
    await stack.start(service("One", PARENT), service("Two", STEADY))
    child = int((tmp_path / "one.log").read_text().split()[1])
    assert is_running(child)
    assert says_ready(tmp_path / "two.log")
    await stack.stop()
    assert not is_running(child)


async def test_a_service_that_will_not_stop_is_killed(stack: Supervisor, tmp_path: Path) -> None:
    await stack.start(service("Stubborn", PARENT + STUBBORN, stop_within=0.1))
    child = int((tmp_path / "stubborn.log").read_text().split()[1])
    await stack.stop()
    assert not is_running(child)


async def test_a_second_stop_order_is_obeyed_at_once(stack: Supervisor) -> None:
    await stack.start(service("Stubborn", STUBBORN, stop_within=3600))
    stopping = asyncio.create_task(stack.stop())
    await checkpoint()
    stopping.cancel()
    await stopping


async def test_a_service_that_ends_while_starting_is_named_with_the_end_of_its_log(
    stack: Supervisor, tmp_path: Path
) -> None:
    with pytest.raises(ServiceError) as died:
        await stack.start(service("Worker", BROKEN))
    assert str(died.value).startswith("Worker ended with 7.")
    assert "the disk is full" in str(died.value)
    assert str(tmp_path / "worker.log") in str(died.value)


async def test_a_service_that_is_never_ready_is_given_up(stack: Supervisor) -> None:
    with pytest.raises(ServiceError, match="Slow was not ready after 0 s"):
        await stack.start(service("Slow", STEADY, ready=lambda _: False, ready_within=0.01))


async def test_a_program_that_is_not_there_is_named(stack: Supervisor, tmp_path: Path) -> None:
    absent = Service("Server", (str(tmp_path / "absent"),), says_ready)
    with pytest.raises(ServiceError, match="Server could not be started"):
        await stack.start(absent)


async def test_a_service_that_dies_later_ends_the_watch_by_name(stack: Supervisor) -> None:
    await stack.start(service("Steady", STEADY), service("Frail", FRAIL))
    with pytest.raises(ServiceError, match="Frail ended with 1"):
        await stack.watch()


async def test_a_killed_service_is_distinguished_from_one_that_ended(
    stack: Supervisor, tmp_path: Path
) -> None:
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(ServiceError, match="was ended by SIGKILL"):
        await stack.start(service("Victim", suicide))


async def test_a_cancelled_watch_leaves_the_services_running(
    stack: Supervisor, tmp_path: Path
) -> None:
    await stack.start(service("One", PARENT))
    child = int((tmp_path / "one.log").read_text().split()[1])
    watch = asyncio.create_task(stack.watch())
    await checkpoint()
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert is_running(child)
