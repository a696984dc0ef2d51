"""Fixtures of the attacks on calls: a whole voice stack. They run as those of tests/calls."""

import pytest

from tests.contracts.databases import files, migrated_file
from tests.voice.conftest import cluster, shared_stack, stack

__all__ = ["cluster", "files", "migrated_file", "shared_stack", "stack"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets tests with the stack share its event loop."""
    for item in items:
        if "attacks" in item.path.parts and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(600))
