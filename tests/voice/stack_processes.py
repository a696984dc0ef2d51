"""Finds the processes of a running stack, for tests that kill or stop one."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.worker_folder import FOLDER
from tests.voice.stack import VoiceStack


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
    folders = {Path(variables[FOLDER]) for variables in ours.values() if FOLDER in variables}
    calls = {int(box.name) for folder in folders for box in folder.glob("calls/*")}
    # LiveKit's worker has a server between itself and its processes, which it forks.
    return {call: _parent(_parent(call)) for call in calls if call in ours}


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


def kill(process: int) -> None:
    """Ends a process as the system does for want of memory: it can do nothing any more."""
    os.kill(process, signal.SIGKILL)


@contextmanager
def stopped_media_server(stack: VoiceStack) -> Iterator[None]:
    """Stops LiveKit's server where it is, as if the network to it were cut."""
    (process,) = _with_variable("LIVEKIT_PORT", str(stack.ports.livekit_port))
    with stopped(process):
        yield


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


def _with_variable(name: str, value: str) -> dict[int, dict[str, str]]:
    """Returns the environments of the processes that were started with this variable."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            pairs = file.read_text(errors="replace").split("\0")
        except OSError:  # it has just ended, or is another user's
            continue
        variables = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if variables.get(name) == value:
            found[int(file.parent.name)] = variables
    return found
