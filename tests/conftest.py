"""Sets the number of processes of `pytest -n auto`, and lets Ctrl-C reach what tests start."""

import os
import signal

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A job in the background of a script ignores Ctrl-C, and so would all that it starts: tests
    # press it in order to end their programs.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Returns one more than the number of cores: many tests wait for other processes."""
    return (os.cpu_count() or 1) + 1
