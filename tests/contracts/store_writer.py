"""Writes to a store, as a process with the arguments TASK URL KEY.

It prints "ready" when it can write, and starts at a line on its standard input.
"""

import asyncio
import sys
from itertools import count

from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import StaleError
from llm_router.store.connections import SqlConnectionStore, open_store
from llm_router.store.crypto import Vault

TASKS = 13


async def edit(store: SqlConnectionStore) -> None:
    """Runs tasks that each increase the priority of every connection, based on the version read."""
    ids = [c.id for c in (await store.find(SYSTEM, Query())).items]

    async def add_one(connection_id: str) -> int:
        for stale in count():
            seen = await store.get(SYSTEM, connection_id)
            new = {"priority": seen.priority + 1}
            try:
                await store.change(SYSTEM, connection_id, new, version=seen.version)
            except StaleError:
                continue
            return stale
        raise AssertionError

    async def add_to_all(first: int) -> int:
        return sum([await add_one(each) for each in ids[first:] + ids[:first]])

    tasks = (add_to_all(number % len(ids)) for number in range(TASKS))
    print(sum(await asyncio.gather(*tasks)), flush=True)


async def add(store: SqlConnectionStore) -> None:
    """Adds connections until it is killed, and prints the id of each that is stored."""
    for number in count():
        connection = Connection(name=f"{number}", api_key="sk-0123456789")
        (stored,) = await store.add(SYSTEM, [connection])
        print(stored.id, flush=True)


async def migrate(_: SqlConnectionStore) -> None:
    """Does nothing: opening the store migrates it."""


async def main(task: str, url: str, key: str) -> None:
    if task == "migrate":
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    async with open_store(url, Vault([key])) as store:
        if task != "migrate":
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        await {"edit": edit, "add": add, "migrate": migrate}[task](store)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
