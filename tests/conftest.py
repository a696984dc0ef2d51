"""Sets the number of processes of `pytest -n auto`."""

import os


def pytest_xdist_auto_num_workers() -> int:
    """Returns one more than the number of cores: many tests wait for other processes."""
    return (os.cpu_count() or 1) + 1
