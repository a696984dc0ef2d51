"""A process that follows the connections of a store as a call does, and reports their changes.

It prints a line for each change: JSON of the moment (monotonic, in seconds), and of the priority
and key of each connection from then on.
"""

import asyncio
import json
import os
from time import monotonic

from llm_router import open_router
from llm_router.connections.access import WORKER
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.sync.subscription import StoreSubscription

URL, KEY = "BENCH_DATABASE_URL", "BENCH_MASTER_KEY"
_POLL_INTERVAL = 0.002  # s


async def main() -> None:
    database = Database(os.environ[URL])
    store = SqlConnectionStore(database, Vault([os.environ[KEY]]))
    reported = None
    try:
        async with open_router(StoreSubscription(store, WORKER)) as router:
            while True:
                connections = [endpoint.connection for endpoint in router.pool.endpoints]
                current = {one.name: [one.priority, one.api_key] for one in connections}
                if current != reported:
                    print(json.dumps([monotonic(), current]), flush=True)
                    reported = current
                await asyncio.sleep(_POLL_INTERVAL)
    finally:
        await database.aclose()


if __name__ == "__main__":
    asyncio.run(main())
