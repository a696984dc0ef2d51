"""Fixtures of the attacks: real databases, and a whole voice stack."""

import pytest

from tests.contracts.databases import database, files, migrated_file, postgres, server
from tests.contracts.gateway import gateway
from tests.contracts.stores import server_or_none, store
from tests.voice.conftest import cluster, shared_stack, stack

__all__ = [
    "cluster",
    "database",
    "files",
    "gateway",
    "migrated_file",
    "postgres",
    "server",
    "server_or_none",
    "shared_stack",
    "stack",
    "store",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets tests with the stack share its event loop."""
    for item in items:
        if "attacks" in item.path.parts and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(600))
