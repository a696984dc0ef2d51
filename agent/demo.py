"""Who answers, as the page and `make demo` are told, and what the demo stores when it begins."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from pydantic import BaseModel

from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore, Query
from llm_router.discovery.discover import DiscoveryResult
from llm_router.errors import ConflictError
from llm_router.sync.connections import ACTIVE, told_apart


class DemoConnection(BaseModel):
    name: str
    model: str
    provider: str
    source: str
    """In words: where it was found."""


class Demo(BaseModel):
    """What the page shows of the agent before a call."""

    agent_name: str
    language: str
    connections: list[DemoConnection]
    """In the order in which they are asked, as far as the page may name them."""
    offline: bool
    """No model is connected: the built-in responder answers."""
    stored_now: int = 0
    """How many the demo has stored at this start."""
    unused: list[DemoConnection] = []
    """What the demo has found and does not ask, since others are stored."""


async def store_found(store: ConnectionStore, found: DiscoveryResult) -> int:
    """Store what was found, unless anything ever was stored here; how many those are."""
    if not found.configured or await store.revision():
        return 0
    described = [
        replace(c, description=c.description or f"Stored by the demo: {found.sources[c.name]}")
        for c in found.configured
    ]
    try:
        return len(await store.add(SYSTEM, described))
    except ConflictError:  # another process of the demo was first
        return 0


def demo_router(
    store: ConnectionStore,
    found: DiscoveryResult,
    *,
    agent_name: str,
    language: str,
    is_demo: bool = False,
    stored_now: int = 0,
) -> APIRouter:
    """`is_demo`: whoever looks may know every connection; else those found, and those stored for
    everyone.
    """
    router = APIRouter(tags=["calls"])

    @router.get("/api/demo", operation_id="showDemo")
    async def demo() -> Demo:
        """What the page shows of the agent before a call."""
        page = await store.find(WORKER, ACTIVE)
        asked = found.replaced_by(told_apart(page.items))
        shown = [c for c in asked.connections if c.is_active and c.use_in_livekit]
        if not is_demo:
            shown = [c for c in shown if not c.version or c.visibility == "everyone"]
        return Demo(
            agent_name=agent_name,
            language=language,
            connections=_described(shown, asked),
            offline=asked.is_offline,
            stored_now=stored_now,
            unused=_described(await _unused(store, found), found) if is_demo and page.items else [],
        )

    return router


async def _unused(store: ConnectionStore, found: DiscoveryResult) -> Sequence[Connection]:
    page = await store.find(SYSTEM, Query(limit=None))
    stored = {(c.provider, c.base_url, c.model_name) for c in page.items}
    return [c for c in found.configured if (c.provider, c.base_url, c.model_name) not in stored]


def _described(connections: Sequence[Connection], found: DiscoveryResult) -> list[DemoConnection]:
    return [
        DemoConnection(
            name=c.name, model=c.model_name, provider=c.provider, source=found.sources[c.name]
        )
        for c in connections
    ]
