"""Does the work of `llm-router fleet`: over the database and a cloud, both closed at the end."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import httpx2

from llm_router.cli.command import CommandError
from llm_router.cli.connect import build_services, open_database
from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from llm_router.fleet.cloud import Notice
from llm_router.fleet.controller import EVERY, FleetController
from llm_router.fleet.metadata import METADATA, InstanceMetadata, report_notices
from llm_router.fleet.records import fleet_tag, read_connection
from llm_router.fleet.spec import FleetSpec
from llm_router.fleet.status import list_instances, use_by_template
from llm_router.store.analytics import Analytics, Span
from llm_router.store.fleets import SqlFleetBook
from llm_router.store.leases import Lease

__all__ = ["FleetSpec", "end", "read_status", "run", "watch"]

_MISSED_ROUNDS = 6
"""Rounds that a controller may miss before another one takes over."""
_STATISTICS = timedelta(days=30)


async def run(spec: FleetSpec, region: str | None, endpoint: str | None) -> None:
    """Runs a fleet until it has ended."""
    async with _controller(spec, region, endpoint, spec.size) as controller:
        await controller.wait_until_ended()


async def end(name: str, region: str | None, endpoint: str | None, *, drain: bool) -> None:
    """Ends a fleet, or waits until the controller that runs it has done so."""
    spec = FleetSpec(name=name, template="none", max_hourly=1.0)
    spec = spec if drain else spec.without_draining()
    async with _controller(spec, region, endpoint, 0) as controller:
        await controller.wait_until_ended()


async def read_status(name: str, region: str | None, endpoint: str | None) -> dict[str, Any]:
    """Returns a fleet as JSON: instances, cost, and the use of each launch template."""
    now = utc_now()
    async with open_database() as (database, vault), _cloud(region, endpoint) as cloud:
        store = build_services(database, vault).store
        mine = Query(tags=(fleet_tag(name),), limit=None)
        stored = (await store.find(SYSTEM, mine)).items
        instances = await cloud.instances(name)
        span = Span(since=now - _STATISTICS, until=now)
        figures = await Analytics(database).figures(SYSTEM, span, ["connection_id"])
        wanted = await SqlFleetBook(database).wanted(name)
    connections = [read_connection(one) for one in stored]
    reasons = {one.id: one.status_reason for one in stored}
    used = use_by_template(connections, {key[0]: value for key, value in figures.items()})
    rows = list_instances(instances, connections, reasons)
    return {
        "fleet": name,
        "wanted": wanted or 0,
        "hourly": sum(row.price or 0.0 for row in rows),
        "instances": [asdict(row) for row in rows],
        "templates": {template: asdict(use) for template, use in sorted(used.items())},
    }


async def watch(metadata: str | None, endpoint: str | None) -> str:
    """Passes the notices of this instance on, up to that of its interruption, and returns it."""
    from llm_router.fleet.ec2_answers import NOTICE_TAG, write_notice  # noqa: PLC0415  beside ec2

    async with httpx2.AsyncClient(trust_env=False) as client:
        service = InstanceMetadata(client, metadata or METADATA)
        own, region = await service.instance_id(), await service.region()
        async with _cloud(region, endpoint) as cloud:
            last = ""

            async def report(notice: Notice) -> None:
                nonlocal last
                await cloud.tag(own, NOTICE_TAG, write_notice(notice))
                last = notice.kind

            await report_notices(service, report, SystemClock())
            return last


@asynccontextmanager
async def _controller(
    spec: FleetSpec, region: str | None, endpoint: str | None, wanted: int
) -> AsyncIterator[FleetController]:
    logging.getLogger("llm_router.fleet").setLevel(logging.INFO)  # what happens is the output
    clock = SystemClock()
    async with open_database() as (database, vault), _cloud(region, endpoint) as cloud:
        book = SqlFleetBook(database)
        await cloud.instances(spec.name)  # fails here where credentials or rights are missing
        await book.want(spec.name, wanted)
        lease = Lease(database, f"fleet {spec.name}", clock, EVERY * _MISSED_ROUNDS)
        controller = FleetController(
            spec,
            cloud,
            build_services(database, vault).store,
            book,
            clock=clock,
            leads=lease.acquire,
        )
        controller.start()
        try:
            yield controller
        finally:
            await controller.aclose()
            await lease.release()


def _cloud(region: str | None, endpoint: str | None) -> Any:
    try:
        from llm_router.fleet.ec2 import open_ec2  # noqa: PLC0415  its library is an extra
    except ImportError as error:
        raise CommandError(
            f"a fleet needs {error.name}, which is not installed: in a checkout, run EXTRAS=fleet"
            " make setup, or pip install './llm_router[fleet]'"
        ) from error
    return open_ec2(region=region, endpoint=endpoint)
