"""A process that follows the connections of a store as a call does, and tells when it sees what.

For each change a line on standard output: JSON of the moment (monotonic, in seconds) and of all
that is asked from then on.
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
from llm_router.sync.connections import StoreSubscription

URL, KEY = "BENCH_DATABASE_URL", "BENCH_MASTER_KEY"
_LOOK_EVERY = 0.002


async def main() -> None:
    database = Database(os.environ[URL])
    store = SqlConnectionStore(database, Vault([os.environ[KEY]]))
    seen = None
    try:
        async with open_router(StoreSubscription(store, WORKER)) as router:
            while True:
                asked = [endpoint.connection for endpoint in router.pool.endpoints]
                if (now := {one.name: [one.priority, one.api_key] for one in asked}) != seen:
                    print(json.dumps([monotonic(), now]), flush=True)
                    seen = now
                await asyncio.sleep(_LOOK_EVERY)
    finally:
        await database.aclose()


if __name__ == "__main__":
    asyncio.run(main())
