"""Lists the connections in use for the page, and stores what the demo has discovered."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from pydantic import BaseModel

from llm_router.connections.access import SYSTEM, WORKER
from llm_router.connections.record import Connection
from llm_router.connections.store import NOT_ASKED, OK, ConnectionStore
from llm_router.discovery.discover import DiscoveryResult
from llm_router.discovery.unused import find_unused
from llm_router.errors import ConflictError
from llm_router.sync.names import disambiguate
from llm_router.sync.subscription import ACTIVE

_SHOWN = 50
"""Connections that the page names: it answers as fast whatever is stored."""


class DemoConnection(BaseModel):
    name: str
    model: str
    provider: str
    source: str
    """Where it was found, in words."""


class UnusedDemoConnection(DemoConnection):
    command: str
    """The command line that stores it."""


class Demo(BaseModel):
    """The agent's name, language and connections, which the page shows before a call."""

    agent_name: str
    language: str
    connections: list[DemoConnection]
    """The connections that the page may name, in the order in which they are tried; none where
    visitors learn no names."""
    offline: bool
    """True if no model is connected: the built-in responder answers, or a phrase of regret."""
    responder: bool
    """True if the built-in responder answers."""
    warnings: list[str] = []
    """Connections that cannot be used or fail, each with a remedy; only in the demo, and where
    visitors learn names."""
    stored_now: int = 0
    """Number of connections that the demo has stored at this start."""
    unused: list[UnusedDemoConnection] = []
    """Connections that the demo has found and does not use, because others are stored."""


async def store_found(store: ConnectionStore, found: DiscoveryResult) -> int:
    """Stores what was found and returns how many; does nothing if anything was ever stored."""
    if not found.configured or await store.revision():
        return 0
    described = [
        replace(c, description=c.description or f"Stored by the demo: {found.sources[c.name]}")
        for c in found.configured
    ]
    try:
        return len(await store.add(SYSTEM, described))
    except ConflictError:  # another process of the demo stored them first
        return 0


def demo_router(
    store: ConnectionStore,
    found: DiscoveryResult,
    *,
    agent_name: str,
    language: str,
    is_demo: bool = False,
    names: bool = False,
    stored_now: int = 0,
) -> APIRouter:
    """Makes the route `GET /api/demo`.

    Without `names` it lists no connection. With them it lists every one if `is_demo`, otherwise
    those that were found, and of the stored ones those that are visible to everyone.
    """
    router = APIRouter(tags=["calls"])

    @router.get("/api/demo", operation_id="getDemo")
    async def demo() -> Demo:
        """Describes the agent: its name, its language and the connections that answer."""
        page = await store.find(WORKER, replace(ACTIVE, limit=_SHOWN))
        active = found.replaced_by(disambiguate(page.items))
        visible = [c for c in active.connections if c.is_active and c.use_in_livekit]
        if not is_demo:
            visible = [c for c in visible if not c.version or c.visibility == "everyone"]
        shows_all = is_demo and names
        return Demo(
            agent_name=agent_name,
            language=language,
            connections=_described(visible, active) if names else [],
            offline=active.is_offline,
            responder=active.is_offline and any(c.is_active for c in active.connections),
            warnings=[*active.warnings, *await _failing(store, visible)] if shows_all else [],
            stored_now=stored_now,
            unused=await _unused(store, found) if shows_all else [],
        )

    return router


async def _failing(store: ConnectionStore, connections: Sequence[Connection]) -> list[str]:
    """Describes the stored connections whose last health check failed, since their last change."""
    failing = []
    for c in connections:
        checks = (await store.checks(SYSTEM, c.id, limit=1)).items if c.version else ()
        failed = [one for one in checks if one.outcome not in {OK, NOT_ASKED}]
        if failed and not (c.updated_at and failed[0].at < c.updated_at):
            about = f"{c.name} did not pass its last check: {failed[0].detail}"
            failing.append(f"{about}; `llm-router doctor` says what to do")
    return failing


async def _unused(store: ConnectionStore, found: DiscoveryResult) -> list[UnusedDemoConnection]:
    return [
        UnusedDemoConnection(
            name=one.connection.name,
            model=one.connection.model_name,
            provider=one.connection.provider,
            source=one.source,
            command=one.command,
        )
        for one in await find_unused(store, found)
    ]


def _described(connections: Sequence[Connection], found: DiscoveryResult) -> list[DemoConnection]:
    return [
        DemoConnection(
            name=c.name, model=c.model_name, provider=c.provider, source=found.sources[c.name]
        )
        for c in connections
    ]
