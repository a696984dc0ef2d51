"""Finds the call processes of a running stack, for tests that kill one."""

import os
import signal
from pathlib import Path

from agent.job import FOLDER
from tests.voice.stack import VoiceStack


def call_processes(stack: VoiceStack) -> set[int]:
    """Returns the processes that have answered a question of their call, by their reports of load.

    Those of a call that has just ended may be among them.
    """
    return {
        int(report.name) for folder in _worker_folders(stack) for report in folder.glob("load/*")
    }


def kill(process: int) -> None:
    """Ends a process as the system does for want of memory: it can do nothing any more."""
    os.kill(process, signal.SIGKILL)


def _worker_folders(stack: VoiceStack) -> set[Path]:
    mark = f"AGENT_NAME={stack.settings['AGENT_NAME']}"
    folders = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = file.read_text(errors="replace").split("\0")
        except OSError:  # it has just ended, or is another user's
            continue
        if mark in variables:
            folders |= {Path(v.partition("=")[2]) for v in variables if v.startswith(FOLDER)}
    return folders
