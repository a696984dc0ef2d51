"""Tests that every store records checks and derives the same status from them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import OK, Check, ConnectionStore
from llm_router.failures import FailureClass
from llm_router.options import HealthOptions
from llm_router.testing import InMemoryConnectionStore
from tests.contracts.stores import ANNA, CLEO, added

OPTIONS = HealthOptions()
MINUTE = timedelta(minutes=1)
OUTCOMES = (OK, OK, "unreachable", "overloaded", "rate limited", "not asked", "model missing")


def since(connection: Connection) -> datetime:
    """Returns a time after the edit from which checks count."""
    return (connection.updated_at or utc_now()) + MINUTE


def series(begin: datetime, outcomes: Sequence[str]) -> list[Check]:
    random = Random(7)
    return [
        Check(
            at=begin + number * MINUTE,
            kind=random.choice(["probe", "probe", "word", "call"]) if outcome == OK else "probe",
            outcome=outcome,
            latency=0.25 if outcome == OK else None,
            detail="" if outcome == OK else f"{outcome} (why)",
        )
        for number, outcome in enumerate(outcomes)
    ]


async def test_checks_are_listed_in_pages_newest_first(
    store: ConnectionStore,
) -> None:
    stored, other = await added(store), await added(store, name="b")
    checks = series(since(stored), [OK, "overloaded", OK, OK, "unreachable"])
    for check in checks:
        await store.record_check(SYSTEM, stored.id, check, OPTIONS)
    page = await store.checks(SYSTEM, stored.id)
    assert (page.items, page.total) == (tuple(checks[::-1]), 5)
    page = await store.checks(SYSTEM, stored.id, limit=2, offset=1)
    assert (page.items, page.total) == (tuple(checks[::-1][1:3]), 5)
    assert (await store.checks(SYSTEM, other.id)).total == 0
    await store.remove(SYSTEM, stored.id)
    again = await added(store, id=stored.id)
    assert (await store.checks(SYSTEM, again.id)).total == 0


async def test_checks_that_are_too_old_or_too_many_are_removed(store: ConnectionStore) -> None:
    stored = await added(store)
    options = HealthOptions(retention=timedelta(minutes=30), max_stored=20)
    checks = series(since(stored), [OK] * 50)
    for check in checks:
        await store.record_check(SYSTEM, stored.id, check, options)
    assert (await store.checks(SYSTEM, stored.id, limit=99)).items == tuple(checks[:-21:-1])
    late = Check(at=checks[-1].at + timedelta(minutes=25))
    await store.record_check(SYSTEM, stored.id, late, options)
    assert (await store.checks(SYSTEM, stored.id, limit=99)).items == (late, *checks[:-7:-1])


async def test_checks_give_the_same_status_in_every_store(store: ConnectionStore) -> None:
    random = Random(11)
    outcomes = [random.choice(OUTCOMES) for _ in range(10) for _ in range(6)]
    found: list[list[tuple[str, str, int]]] = []
    for each in (store, InMemoryConnectionStore()):
        stored = await added(each)
        after = [
            await each.record_check(SYSTEM, stored.id, check, OPTIONS)
            for check in series(since(stored), outcomes)
        ]
        found.append([(c.status, c.status_reason, c.version) for c in after])
        assert await each.get(SYSTEM, stored.id) == after[-1]
    assert found[0] == found[1]
    assert len({status for status, *_ in found[0]}) > 1


async def test_an_edit_of_the_target_resets_the_status(store: ConnectionStore) -> None:
    stored = await added(store, api_key="sk-0123456789-wxyz")
    for check in series(since(stored), ["rejected key"] * 3):
        broken = await store.record_check(SYSTEM, stored.id, check, OPTIONS)
    assert broken.status == "error"
    renamed = await store.change(SYSTEM, stored.id, {"name": "other"})
    assert (renamed.status, renamed.status_reason) == ("error", "rejected key (why)")
    mended = await store.change(SYSTEM, stored.id, {"api_key": "sk-another-9876543210"})
    assert (mended.status, mended.status_reason) == ("untested", "")
    late = since(mended) + timedelta(hours=1)
    well = await store.record_check(SYSTEM, stored.id, Check(at=late), OPTIONS)
    assert (well.status, well.version) == ("active", mended.version)


async def test_deactivating_and_activating_set_the_status(store: ConnectionStore) -> None:
    stored = await added(store, ANNA)
    off = await store.change(ANNA, stored.id, {"is_active": False})
    assert (off.status, off.status_reason) == ("deactivated", "by anna")
    tested = await store.record_check(SYSTEM, stored.id, Check(at=since(off), kind="test"), OPTIONS)
    assert tested == off
    on = await store.change(ANNA, stored.id, {"is_active": True})
    assert (on.status, on.status_reason, on.version) == ("untested", "", 3)
    assert await store.get(ANNA, stored.id) == on


async def broken_for_a_day(store: ConnectionStore, stored: Connection) -> Connection:
    for hour in (0, 1, 25):
        check = Check(
            at=since(stored) + hour * timedelta(hours=1), outcome="unreachable", detail="x"
        )
        after = await store.record_check(ANNA, stored.id, check, OPTIONS)
    return after


async def test_a_lasting_failure_deactivates_a_connection_but_never_the_last(
    store: ConnectionStore,
) -> None:
    stored = await added(store, ANNA)
    assert (await broken_for_a_day(store, stored)).status == "error"
    for fields in ({"pool": "fast"}, {"use_in_mcp": False}, {"is_active": False}):
        spare = await added(store, ANNA, name=str(fields), **fields)
        await store.record_check(ANNA, spare.id, Check(at=since(spare), kind="test"), OPTIONS)
    assert (await broken_for_a_day(store, stored)).status == "error"
    spare = await added(store, ANNA, name="spare")
    assert (await broken_for_a_day(store, stored)).status == "error"  # not known to work
    await store.record_check(ANNA, spare.id, Check(at=since(spare), kind="test"), OPTIONS)
    revision = await store.revision()
    off = await broken_for_a_day(store, stored)
    assert (off.is_active, off.status, off.version) == (False, "deactivated", stored.version + 1)
    assert off.status_reason == "broken for too long: x"
    assert off == await store.get(ANNA, stored.id)
    assert await store.revision() == revision + 1
    (entry, *_) = await store.audit(SYSTEM, target=stored.id)
    assert (entry.actor, entry.role, entry.action) == ("system", "admin", "deactivate")
    assert (entry.before["is_active"], entry.after["is_active"]) == (True, False)
    on = await store.change(ANNA, stored.id, {"is_active": True})
    assert (on.is_active, on.status) == (True, "untested")


async def test_every_failure_class_can_be_stored(store: ConnectionStore) -> None:
    stored = await added(store)
    for number, outcome in enumerate(FailureClass):
        at = since(stored) + number * MINUTE
        check = Check(at=at, outcome=outcome, detail="line\nbreak\x00")
        await store.record_check(SYSTEM, stored.id, check, OPTIONS)
    shown = (await store.checks(SYSTEM, stored.id)).items
    assert [check.outcome for check in shown] == [*FailureClass][::-1]
    assert {check.detail for check in shown} == {"line break"}


async def test_the_latest_check_of_every_connection_is_read_at_once(store: ConnectionStore) -> None:
    anna, shared = await added(store, ANNA), await added(store, name="b", visibility="everyone")
    unchecked = await added(store, name="c")
    for stored in (anna, shared):
        for check in series(since(stored), [OK, "overloaded", "unreachable"]):
            await store.record_check(SYSTEM, stored.id, check, OPTIONS)
    latest = await store.latest_checks(SYSTEM)
    assert latest.keys() == {anna.id, shared.id}
    for stored in (anna, shared):
        assert latest[stored.id] == (await store.checks(SYSTEM, stored.id, limit=1)).items[0]
    assert unchecked.id not in latest
    assert (await store.latest_checks(CLEO)).keys() == {shared.id}
