"""Prepares the log of the worker and of the processes that it starts, LiveKit's lines included."""

import logging
import sys

from livekit.agents.cli.log import setup_logging

from agent.log_format import TEXT, writes_json
from agent.log_lines import hide_callers


def prepare_log(level: str, log_format: str) -> None:
    """Logs to standard output, without words and numbers of callers unless `level` is DEBUG."""
    is_terminal = sys.stdout.isatty()
    is_json = writes_json(log_format, sys.stdout)
    setup_logging(level, devmode=not is_json, console=False)
    if not is_json and not is_terminal:  # LiveKit's text has colours
        for handler in logging.getLogger().handlers:
            handler.setFormatter(logging.Formatter(TEXT))
    if level != "DEBUG":
        hide_callers()
