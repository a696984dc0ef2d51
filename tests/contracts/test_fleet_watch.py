"""Notices that an instance reads from its metadata service and passes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx2
import pytest

from llm_router.clock import Clock, SystemClock
from llm_router.fleet.cloud import CloudError, Notice
from llm_router.fleet.metadata import InstanceMetadata, report_notices
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer

TOKEN, ID = "/latest/api/token", "/latest/meta-data/instance-id"
REGION = "/latest/meta-data/placement/region"
ACTION = "/latest/meta-data/spot/instance-action"
HINT = "/latest/meta-data/events/recommendations/rebalance"
TAKEN_BACK = {"action": "terminate", "time": "2026-11-30T14:02:00Z"}
AT = datetime(2026, 11, 30, 14, 2, 0, tzinfo=UTC).timestamp()


@asynccontextmanager
async def service(clock: Clock) -> AsyncIterator[tuple[FaultyServer, InstanceMetadata]]:
    pages = {TOKEN: "a-token", ID: "i-1", REGION: "eu-central-1"}
    async with (
        FaultyServer(pages=pages, clock=clock) as server,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        yield server, InstanceMetadata(client, server.base_url.removesuffix("/v1"))


async def test_every_question_has_a_token_that_was_asked_for_once() -> None:
    async with service(SystemClock()) as (server, metadata):
        assert await metadata.instance_id() == "i-1"
        assert await metadata.region() == "eu-central-1"
        assert await metadata.notice() is None
    paths = [path for path, _ in server.other_requests]
    assert paths == [TOKEN, ID, REGION, ACTION, HINT]
    sent = [headers.get("x-aws-ec2-metadata-token") for _, headers in server.other_requests]
    assert sent == [None, *["a-token"] * 4]


async def test_an_interruption_comes_before_a_hint() -> None:
    async with service(SystemClock()) as (server, metadata):
        server.pages[HINT] = {"noticeTime": "2026-11-30T13:00:00Z"}
        assert await metadata.notice() == Notice("rebalance")
        server.pages[ACTION] = TAKEN_BACK
        assert await metadata.notice() == Notice("interruption", AT)


@pytest.mark.parametrize("text", ["", "soon", "[1]", '{"time": 5}', '{"time": null}'])
async def test_an_answer_that_makes_no_sense_is_a_notice_without_a_time(text: str) -> None:
    async with service(SystemClock()) as (server, metadata):
        server.pages[ACTION] = text
        assert await metadata.notice() == Notice("interruption")


async def test_elsewhere_than_on_an_instance_it_is_an_error(unused_url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        metadata = InstanceMetadata(client, unused_url.removesuffix("/v1"))
        with pytest.raises(CloudError, match="on the instance itself"):
            await metadata.instance_id()


def test_each_notice_is_passed_on_once_and_again_where_the_cloud_was_away() -> None:
    clock = ManualClock(socket_wait=0.001)
    passed: list[tuple[float, Notice]] = []
    failures = [CloudError("EC2: no answer")] * 2

    async def main() -> None:
        async with service(clock) as (server, metadata):

            async def report(notice: Notice) -> None:
                if failures:
                    raise failures.pop()
                passed.append((clock.now(), notice))

            def hint() -> None:
                server.pages[HINT] = {"noticeTime": "2026-11-30T13:00:00Z"}

            def end() -> None:
                server.pages[ACTION] = TAKEN_BACK

            clock.call_at(60.0, hint)
            clock.call_at(600.0, end)
            await report_notices(metadata, report, clock)

    clock.run(main())
    assert [notice for _, notice in passed] == [Notice("rebalance"), Notice("interruption", AT)]
    (hinted, _), (ended, _) = passed
    assert 60 <= hinted < 60 + 3 * 5 + 5
    assert 600 <= ended < 606
