"""How many processes `pytest -n auto` takes."""

import os


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a process to start or to answer."""
    return (os.cpu_count() or 1) + 1
