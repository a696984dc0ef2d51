"""Fixtures of calls that are typed, or on the page: no sound is measured, so they run side by side.

Each process of pytest has a voice stack of its own.
"""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.voice.conftest import cluster, share_the_loop, shared_stack, stack
from tests.voice.test_browser import SOON

__all__ = ["cluster", "shared_stack", "stack"]

expect.set_options(timeout=SOON)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    share_the_loop(items, Path(__file__).parent)
