"""Tests webhooks: which of them get an event, and how it reaches a receiver on a real socket."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from llm_router.clock import Timer, checkpoint
from llm_router.connections.access import SYSTEM, Actor
from llm_router.connections.store import OK, Check
from llm_router.connections.webhooks import EVENTS, MAX_ATTEMPTS, Event
from llm_router.errors import ForbiddenError, NotFoundError, StaleError
from llm_router.management.webhook_delivery import WebhookSender, send_test
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.routing.limits import Amount, Period, month_of
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.database import Database
from llm_router.store.limits import SqlCounters
from llm_router.store.outbox import Delivery
from llm_router.store.tables import metadata, webhook_deliveries
from llm_router.store.webhooks import Webhook, Webhooks
from llm_router.testing import ManualClock
from tests.contracts.databases import Server, opened
from tests.contracts.gateway import CLOSED
from tests.contracts.receiver import receiving
from tests.contracts.stores import ANNA, BEN, VAULT, added
from tests.unit.test_webhooks import manuals_verify

ANYWHERE = AddressGuard(allow_private=True)


@dataclass
class Post:
    """A store, its webhooks, and a sender on a manual clock."""

    database: Database
    clock: ManualClock

    def __post_init__(self) -> None:
        self.store = SqlConnectionStore(self.database, VAULT, self.clock)
        self.webhooks = Webhooks(self.database, VAULT, self.clock)
        self.sender = WebhookSender(self.database, self.webhooks, self.clock)

    async def hook(
        self, url: str = CLOSED, events: Sequence[Event] = EVENTS, **more: str
    ) -> tuple[Webhook, str]:
        return await self.webhooks.add(SYSTEM, "pager", url, events, **more)

    async def tried(self, connection_id: str, outcome: str = OK, detail: str = "") -> None:
        at = datetime.fromtimestamp(self.clock.wall(), UTC)
        check = Check(at=at, kind="test", outcome=outcome, detail=detail)
        await self.store.record_check(SYSTEM, connection_id, check, HealthOptions())

    async def events(self, hook: Webhook) -> list[str]:
        """Returns the names of the events for a webhook, the oldest first."""
        return [each.event for each in (await self.log(hook))[::-1]]

    async def log(self, hook: Webhook) -> Sequence[Delivery]:
        return (await self.webhooks.deliveries(SYSTEM, hook.id, limit=200))[0]

    async def deliver(self, after: float = 0.0) -> None:
        self.clock.advance(after)
        await self.sender.step()
        await self.sender.wait_for_deliveries()


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database, ManualClock())


# ── Events in the outbox ─────────────────────────────────────────────────────────────────────────


async def test_a_change_of_status_goes_to_the_webhooks_that_subscribe_to_it(post: Post) -> None:
    everything, _ = await post.hook()
    only_off, _ = await post.hook(events=["connection.deactivated"])
    annas, _ = await post.hook(owner="anna")
    of_blue, _ = await post.hook(team="blue")
    off, _ = await post.hook()
    await post.webhooks.change(SYSTEM, off.id, {"is_active": False})
    connection, other = await added(post.store, ANNA, team="red"), await added(post.store, BEN)
    await post.tried(connection.id)
    await post.tried(connection.id)  # as it was
    await post.tried(other.id, "overloaded", "overloaded (HTTP 503)")
    await post.store.change(ANNA, connection.id, {"priority": 5})
    await post.store.change(ANNA, connection.id, {"is_active": False})
    changed = "connection.status_changed"
    assert await post.events(everything) == [changed, changed, changed, "connection.deactivated"]
    assert await post.events(only_off) == ["connection.deactivated"]
    assert await post.events(annas) == [changed, changed, "connection.deactivated"]
    assert await post.events(of_blue) == await post.events(off) == []
    data = [each.payload["data"] for each in (await post.log(everything))[::-1]]
    assert [(d["previous_status"], d["status"], d["reason"]) for d in data[:3]] == [
        ("untested", "active", ""),
        ("untested", "error", "overloaded (HTTP 503)"),
        ("active", "deactivated", "by anna"),
    ]


async def test_an_event_is_stored_with_its_change_or_neither_is(post: Post) -> None:
    hook, _ = await post.hook()
    connection = await added(post.store)
    with pytest.raises(StaleError):
        await post.store.change(SYSTEM, connection.id, {"is_active": False}, version=9)
    assert await post.events(hook) == []
    for steps in range(0, 40, 2):
        is_active = not (await post.store.get(SYSTEM, connection.id)).is_active
        before = len(await post.events(hook))
        task = asyncio.create_task(
            post.store.change(SYSTEM, connection.id, {"is_active": is_active})
        )
        for _ in range(steps):
            await checkpoint()
        task.cancel()
        await asyncio.wait([task])
        is_done = (await post.store.get(SYSTEM, connection.id)).is_active == is_active
        assert (len(await post.events(hook)) > before) == is_done


async def test_a_budget_that_is_reached_is_one_event(post: Post) -> None:
    hook, _ = await post.hook(events=["connection.budget_reached"])
    limited = await added(post.store, monthly_budget=1.0)
    free = await added(post.store, name="b")
    counters, at = SqlCounters(post.database), post.clock.wall()

    async def spend(cost: float) -> None:
        counted = {month_of(at): Amount(1, 10, cost), Period("slot", at): Amount(1, 10, cost)}
        await counters.exchange({limited.id: counted, free.id: counted}, [], at)

    await spend(0.75)
    assert await post.events(hook) == []
    await spend(0.5)
    await spend(0.5)
    (reached,) = await post.log(hook)
    assert reached.payload["data"]["connection_id"] == limited.id
    assert (reached.payload["data"]["monthly_budget"], reached.payload["data"]["spent"]) == (
        1.0,
        1.25,
    )


async def test_no_table_holds_a_webhooks_secret_that_can_be_read(post: Post) -> None:
    hook, secret = await post.hook()
    assert (await post.webhooks.get_with_secret(SYSTEM, hook.id)) == (hook, secret)
    async with post.database.reading() as db:
        rows = [str((await db.execute(table.select())).all()) for table in metadata.sorted_tables]
    assert hook.id in "".join(rows)
    assert secret.removeprefix("whsec_") not in "".join(rows)
    assert secret not in repr((hook, post.webhooks))


async def test_webhooks_are_for_admins_and_each_change_is_audited(
    post: Post,
) -> None:
    hook, _ = await post.hook()
    changed = await post.webhooks.change(SYSTEM, hook.id, {"url": CLOSED + "2"}, version=1)
    assert (changed.version, changed.url) == (2, CLOSED + "2")
    assert await post.webhooks.change(SYSTEM, hook.id, {"name": "pager"}) == changed
    with pytest.raises(StaleError, match="since version 1"):
        await post.webhooks.change(SYSTEM, hook.id, {"name": "other"}, version=1)
    await post.webhooks.remove(SYSTEM, hook.id)
    entries = await post.store.audit(SYSTEM, target=hook.id)
    assert [entry.action for entry in entries] == ["remove", "edit", "add"]
    assert entries[1].after == {"url": CLOSED + "2"}
    with pytest.raises(NotFoundError):
        await post.webhooks.get(SYSTEM, hook.id)
    for actor in (ANNA, Actor("worker", "worker")):
        for attempt in (
            post.webhooks.find(actor),
            post.webhooks.get(actor, hook.id),
            post.webhooks.get_with_secret(actor, hook.id),
            post.webhooks.add(actor, "x", CLOSED, EVENTS),
            post.webhooks.change(actor, hook.id, {}),
            post.webhooks.remove(actor, hook.id),
            post.webhooks.deliveries(actor, hook.id),
        ):
            with pytest.raises(ForbiddenError, match="may not administer webhooks"):
                await attempt


# ── Deliveries ──────────────────────────────────────────────────────────────────────


async def test_a_receiver_that_fails_twice_gets_the_third_try_and_can_verify_it(
    post: Post,
) -> None:
    async with receiving(500, 503, 200) as receiver:
        hook, secret = await post.hook(receiver.url, ["connection.status_changed"])
        await post.tried((await added(post.store)).id)
        await post.deliver()
        (waiting,) = await post.log(hook)
        assert (waiting.status, waiting.attempts, waiting.last_status) == ("waiting", 1, 500)
        assert waiting.last_error == "HTTP 500"
        await post.deliver()
        assert len(receiver.requests) == 1  # not due yet
        await post.deliver(after=6)
        await post.deliver(after=24)
        await post.deliver(after=10**6)
    (done,) = await post.log(hook)
    assert (done.status, done.attempts, done.last_status) == ("delivered", 3, 200)
    assert done.last_error == ""
    assert done.delivered_at
    assert len(receiver.requests) == 3
    verify = manuals_verify(now=lambda: post.clock.wall() - 10**6)
    assert len({asked.headers["webhook-id"] for asked in receiver.requests}) == 1
    assert len({asked.headers["webhook-timestamp"] for asked in receiver.requests}) == 3
    last = receiver.requests[-1]
    assert verify(secret, last.headers, last.body)
    assert not verify(secret, last.headers, last.body.replace(b"active", b"broken"))
    assert json.loads(last.body) == done.payload
    assert last.headers["content-type"] == "application/json"


async def test_a_delivery_that_always_fails_is_given_up(post: Post) -> None:
    hook, _ = await post.hook()
    await post.tried((await added(post.store)).id)
    for _ in range(MAX_ATTEMPTS + 2):
        await post.deliver(after=100_000)
    (lost,) = await post.log(hook)
    assert (lost.status, lost.attempts, lost.next_at) == ("given_up", MAX_ATTEMPTS, None)
    assert lost.last_error == "no answer (ConnectError)"


async def test_a_redirect_is_not_followed(post: Post) -> None:
    async with receiving() as inside, receiving(307) as receiver:
        receiver.location = inside.url
        hook, _ = await post.hook(receiver.url)
        await post.tried((await added(post.store)).id)
        await post.deliver()
        assert inside.requests == []
    (waiting,) = await post.log(hook)
    assert "redirects are not followed" in waiting.last_error


async def test_a_receiver_that_is_gone_for_good_gets_nothing_more(post: Post) -> None:
    async with receiving(410) as receiver:
        hook, _ = await post.hook(receiver.url)
        await post.tried((await added(post.store)).id)
        await post.deliver()
        await post.tried((await added(post.store, name="b")).id)
        await post.deliver(after=10**6)
    assert len(receiver.requests) == 1
    assert not (await post.webhooks.get(SYSTEM, hook.id)).is_active
    (entry, *_) = await post.store.audit(SYSTEM, target=hook.id)
    assert (entry.actor, entry.after) == ("system", {"is_active": False})


async def test_a_receiver_that_hangs_holds_up_no_other(post: Post) -> None:
    async with receiving(0) as hangs, receiving() as well:
        await post.hook(hangs.url)
        hook, _ = await post.hook(well.url)
        for name in "abc":
            await post.tried((await added(post.store, name=name)).id)
        sender = WebhookSender(post.database, post.webhooks, Hurried())
        sender.start()
        while {each.status for each in await post.log(hook)} != {"delivered"}:  # noqa: ASYNC110  there is no event to await
            await asyncio.sleep(0.01)
        assert (len(hangs.requests), len(well.requests)) == (1, 3)
        await sender.aclose()


async def test_a_delivery_without_a_result_is_sent_again_after_a_restart(
    post: Post,
) -> None:
    async with receiving(0, 200) as receiver:
        hook, _ = await post.hook(receiver.url)
        await post.tried((await added(post.store)).id)
        post.sender.start()
        while not receiver.requests:  # noqa: ASYNC110  there is no event to await
            await asyncio.sleep(0.01)
        await post.sender.aclose()
        (waiting,) = await post.log(hook)
        assert (waiting.status, waiting.attempts) == ("waiting", 0)
        post.sender = WebhookSender(post.database, post.webhooks, post.clock)
        await post.deliver()
    first, again = receiver.requests
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert (await post.log(hook))[0].status == "delivered"


async def test_of_two_senders_one_delivers_until_it_dies(server: Server) -> None:
    url, clock = await server.new(), ManualClock()
    async with receiving() as receiver, opened(url) as one, opened(url) as other:
        first, second = Post(one, clock), Post(other, clock)
        await first.hook(receiver.url)
        await first.deliver()
        await first.tried((await added(first.store)).id)
        await second.deliver()
        assert receiver.requests == []
        await first.deliver()
        assert len(receiver.requests) == 1
        await first.tried((await added(first.store, name="b")).id)
        await second.deliver(after=60)  # the first has died
        assert len(receiver.requests) == 2


async def test_the_log_of_deliveries_lasts_thirty_days(post: Post) -> None:
    async with receiving() as receiver:
        hook, _ = await post.hook(receiver.url)
        await post.tried((await added(post.store)).id)
        await post.deliver()
        assert len(await post.log(hook)) == 1
        await post.deliver(after=31 * 86_400.0)
        assert await post.log(hook) == ()
    async with post.database.reading() as db:
        assert (await db.execute(select(webhook_deliveries))).all() == []


async def test_a_test_event_is_sent_at_once_and_only_to_an_allowed_address(
    post: Post,
) -> None:
    async with receiving(204) as receiver:
        hook, secret = await post.hook(receiver.url)
        refused = await send_test(hook, secret, AddressGuard(), post.clock)
        assert (refused.status, refused.last_status) == ("given_up", None)
        assert "an administrator can allow it" in refused.last_error
        assert receiver.requests == []
        arrived = await send_test(hook, secret, ANYWHERE, post.clock)
    assert (arrived.status, arrived.event, arrived.last_status) == (
        "delivered",
        "webhook.test",
        204,
    )
    assert json.loads(receiver.requests[0].body)["data"] == {"webhook_id": hook.id, "name": "pager"}


class Hurried(ManualClock):
    """A clock whose second lasts a hundredth."""

    def __init__(self) -> None:
        super().__init__(now=60)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        seconds = when - self.now()
        self.advance(seconds)
        return asyncio.get_running_loop().call_later(seconds / 100, callback)
