"""Starts the worker again and again in one process, for tests of settings with which it ends.

Each line of its standard input is a folder and an environment in JSON; it answers with a line of
the exit code and what was written to standard error. The worker's imports take seconds, so that a
process for each start would be most of these tests.
"""

import contextlib
import io
import json
import os
import sys

from agent import worker


def started(folder: str, environ: dict[str, str]) -> tuple[int, str]:
    """Runs the worker in the folder, with this environment and no other."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    written = io.StringIO()
    with contextlib.redirect_stderr(written), contextlib.redirect_stdout(written):
        status = worker.main(["start"])
    return status, written.getvalue()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(started(*json.loads(line))), flush=True)
