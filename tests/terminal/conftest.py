"""Fixtures of the terminal's tests: the API on a file of SQLite."""

from collections.abc import AsyncIterator

import pytest

from tests.contracts.databases import Files, cluster, files, migrated_file, postgres
from tests.contracts.gateway import Gateway, gateway_on

__all__ = ["cluster", "files", "gateway", "migrated_file", "postgres"]


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    """Opens an API whose editors may use servers of this machine."""
    async with gateway_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as gateway:
        yield gateway
