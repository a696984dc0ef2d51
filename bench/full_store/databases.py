"""Makes empty databases, which are gone at the end."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from tests.contracts.databases import running_postgres


@contextmanager
def empty_databases(dialects: Sequence[str]) -> Iterator[list[str]]:
    """Yields the URL of an empty database of each dialect."""
    with TemporaryDirectory(prefix="patchbay-store-") as folder:
        urls = [f"sqlite:///{folder}/store.sqlite3"] if "sqlite" in dialects else []
        if "postgresql" not in dialects:
            yield urls
            return
        with running_postgres() as server:
            yield [*urls, asyncio.run(server.new(migrated=False))]
