"""Finds the processes of a running stack, for tests that kill or stop one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from agent.worker_folder import FOLDER
from deploy.services import livekit_service
from deploy.supervisor import Supervisor
from tests.voice.stack import LOGS, VoiceStack, build_programs


def call_processes(stack: VoiceStack) -> set[int]:
    """Returns the processes that have answered a question of their call, by their reports of load.

    Those of a call that has just ended may be among them.
    """
    ours = _with_variable("AGENT_NAME", stack.settings["AGENT_NAME"]).values()
    folders = {Path(variables[FOLDER]) for variables in ours if FOLDER in variables}
    return {int(report.name) for folder in folders for report in folder.glob("load/*")}


def answering(stack: VoiceStack) -> dict[int, int]:
    """Returns the processes that answer a call now, each with the process of its worker."""
    ours = _with_variable("AGENT_NAME", stack.settings["AGENT_NAME"])
    folders = {variables[FOLDER] for variables in ours.values() if FOLDER in variables}
    boxes = [f"{folder}/calls/" for folder in folders]
    # LiveKit's worker has a server between itself and its processes, which it forks.
    return {each: _parent(_parent(each)) for each in ours if _maps_one_of(each, boxes)}


def own_worker(stack: VoiceStack) -> int:
    """Returns the process of the worker that the stack has started."""
    ours = _with_variable("WORKER_PORT", str(stack.ports.worker_port))
    [worker] = [each for each in ours if b"agent.worker" in _command(each)]
    return worker


def page_process(stack: VoiceStack) -> int:
    """Returns the HTTP process of the stack."""
    ours = _with_variable("HTTP_PORT", str(stack.ports.http_port))
    [page] = [each for each in ours if b"agent.api" in _command(each)]
    return page


def speech_processes(stack: VoiceStack) -> set[int]:
    """Returns the process with the speech models of the stack's worker; none while it is away."""
    ours = _with_variable("AGENT_NAME", stack.settings["AGENT_NAME"])
    return {process for process in ours if b"agent.speech.process" in _command(process)}


def processes_of(stack: VoiceStack) -> dict[int, bytes]:
    """Returns the commands of all processes of the stack, found by its own name and ports."""
    own = [("AGENT_NAME", stack.settings["AGENT_NAME"])]
    own += [("LIVEKIT_PORT", str(stack.ports.livekit_port))]
    found = {each: _command(each) for name, value in own for each in _with_variable(name, value)}
    sip = f'"sip_port": {stack.ports.sip_port},'
    return found | {
        each: _command(each) for each in _with_variable("SIP_CONFIG_BODY", sip, part=True)
    }


def kill(process: int) -> None:
    """Ends a process as the system does for want of memory: it can do nothing any more."""
    os.kill(process, signal.SIGKILL)


@contextmanager
def stopped_media_server(stack: VoiceStack) -> Iterator[None]:
    """Stops LiveKit's server where it is, as if the network to it were cut."""
    (process,) = _with_variable("LIVEKIT_PORT", str(stack.ports.livekit_port))
    with stopped(process):
        yield


@asynccontextmanager
async def media_server_anew(stack: VoiceStack, after: float = 0.0) -> AsyncIterator[float]:
    """Kills LiveKit's server, and starts another in its place `after` seconds, for the block.

    Yields when it was killed (loop time, s).
    """
    folder = LOGS / "media_server_anew"
    folder.mkdir(parents=True, exist_ok=True)
    program = await asyncio.to_thread(build_programs)
    (process,) = _with_variable("LIVEKIT_PORT", str(stack.ports.livekit_port))
    died = asyncio.get_running_loop().time()
    kill(process)
    await asyncio.sleep(after)
    processes = Supervisor(folder)
    try:
        await processes.start(livekit_service(program, stack.livekit, stack.ports))
        yield died
    finally:
        await processes.stop()


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stops a process where it is during the block."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def stop(process: int) -> None:
    """Stops a process where it is, as if it hung."""
    os.kill(process, signal.SIGSTOP)


def leave(worker: int) -> None:
    """Asks a worker to hand its calls over and to end."""
    os.kill(worker, signal.SIGUSR1)


def _maps_one_of(process: int, files: Collection[str]) -> bool:
    """Returns whether a process has mapped a file whose path begins so."""
    try:
        mapped = Path(f"/proc/{process}/maps").read_text()
    except OSError:  # it has just ended
        return False
    return any(file in mapped for file in files)


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:  # it has just ended
        return 0


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def _with_variable(name: str, value: str, *, part: bool = False) -> dict[int, dict[str, str]]:
    """Returns the environments of the processes that were started with this variable.

    With `part`, its value only contains the given one.
    """
    found = {}
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            pairs = file.read_text(errors="replace").split("\0")
        except OSError:  # it has just ended, or is another user's
            continue
        variables = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        given = variables.get(name, "")
        if given == value or (part and value in given):
            found[int(file.parent.name)] = variables
    return found
