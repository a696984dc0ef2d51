"""Runs a process that checks connections: `checking_process.py URL MASTER_KEY`.

It prints "waits" when it is first refused the lead, and "leads" once it has it.
"""

import asyncio
import sys

from llm_router.clock import SystemClock
from llm_router.management.checker import Checker, CheckerDeps
from llm_router.options import HealthOptions
from llm_router.store.connections import open_store
from llm_router.store.crypto import Vault
from llm_router.store.leases import Lease

OPTIONS = HealthOptions(interval=0.05, poll_interval=0.02)


async def main(url: str, master_key: str) -> None:
    said = ""
    async with open_store(url, Vault([master_key])) as store:
        lease = Lease(store.database, "health checks", SystemClock(), seconds=5.0)

        async def leads() -> bool:
            nonlocal said
            is_mine = await lease.acquire()
            now = "leads" if is_mine else "waits"
            if now != said:
                print(now, flush=True)
            said = now
            return is_mine

        Checker(store, OPTIONS, CheckerDeps(leads=leads)).start()
        await asyncio.Event().wait()  # until the process is killed


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
