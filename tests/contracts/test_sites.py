"""Tests stored sites on every database: keys, edits, the cost of a day, and who may do what."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from llm_router.connections.access import SYSTEM
from llm_router.errors import ForbiddenError, NotFoundError, StaleError, TakenError
from llm_router.store.audit import read
from llm_router.store.database import Database
from llm_router.store.site_tables import sites as site_table
from llm_router.store.sites import FoundSites, Sites, StoredSite
from llm_router.store.usage import UsageLog, UsageRecord
from llm_router.testing import ManualClock
from llm_router.voice.site import account_of, parse_site
from tests.contracts.stores import CARL, OTTO, VERA

SHOP = parse_site({"name": "shop", "origins": ["https://shop.example"], "modes": ["text"]})
START = ManualClock().wall()
NOW = datetime.fromtimestamp(START, UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sites(database: Database, clock: ManualClock) -> Sites:
    return Sites(database, clock)


async def of_key(sites: Sites, key: str) -> StoredSite | None:
    """Returns the site of a key among those that visitors' pages may use."""
    return next((site for site in await sites.all() if site.key == key), None)


async def test_a_site_is_read_as_it_was_written_and_found_by_its_key(sites: Sites) -> None:
    added = await sites.add(SYSTEM, SHOP)
    assert (added.record, added.version, added.created_at) == (SHOP, 1, NOW)
    assert await sites.get(SYSTEM, "shop") == added
    assert await of_key(sites, added.key) == added
    assert await of_key(sites, "site_unknown") is None
    assert await sites.find(SYSTEM) == FoundSites((added,), 1, {})
    with pytest.raises(TakenError):
        await sites.add(SYSTEM, SHOP)


async def test_an_edit_is_a_new_version_and_one_from_an_older_state_is_refused(
    sites: Sites,
) -> None:
    added = await sites.add(SYSTEM, SHOP)
    edited = await sites.change(SYSTEM, "shop", {"calls_at_once": 3}, version=1)
    assert (edited.record.calls_at_once, edited.version, edited.key) == (3, 2, added.key)
    assert await sites.change(SYSTEM, "shop", {"calls_at_once": 3}) == edited
    with pytest.raises(StaleError):
        await sites.change(SYSTEM, "shop", {"calls_at_once": 4}, version=1)
    with pytest.raises(StaleError):
        await sites.remove(SYSTEM, "shop", version=1)


async def test_a_new_key_takes_the_place_of_the_old_one(sites: Sites) -> None:
    old = await sites.add(SYSTEM, SHOP)
    new = await sites.rotate_key(SYSTEM, "shop")
    assert new.key != old.key
    assert await of_key(sites, old.key) is None
    assert await of_key(sites, new.key) == new


async def test_a_removed_site_is_gone_with_its_key(sites: Sites) -> None:
    added = await sites.add(SYSTEM, SHOP)
    await sites.remove(SYSTEM, "shop")
    assert await of_key(sites, added.key) is None
    with pytest.raises(NotFoundError):
        await sites.get(SYSTEM, "shop")


async def test_the_cost_of_its_calls_counts_until_midnight(
    sites: Sites, database: Database, clock: ManualClock
) -> None:
    added = await sites.add(SYSTEM, SHOP)

    def attempt(account: str, at: datetime, cost: float) -> UsageRecord:
        return UsageRecord(
            at=at, connection_id="c", connection_name="c", api_key_id=account, reply_id="r",
            role="first", outcome="won", duration=1.0, cost=cost,
        )  # fmt: skip

    own, yesterday = account_of("shop"), NOW - timedelta(days=1)
    spent = [attempt(own, NOW, 0.5), attempt(own, NOW, 0.25), attempt(own, yesterday, 4.0)]
    await UsageLog(database).append([*spent, attempt(account_of("blog"), NOW, 8.0)])
    found = await of_key(sites, added.key)
    assert found
    assert found.spent_today == 0.75
    clock.advance(86_400)
    assert (await sites.get(SYSTEM, "shop")).spent_today == 0.0


async def test_a_site_that_a_later_version_has_stored_closes_no_other_and_can_be_removed(
    sites: Sites, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await sites.add(SYSTEM, SHOP)
    await sites.add(SYSTEM, SHOP.model_copy(update={"name": "blog"}))
    newer = {"name": "blog", "origins": ["https://blog.example"], "colour": "red"}
    async with database.writing() as db:
        await db.execute(update(site_table).where(site_table.c.name == "blog").values(record=newer))
    for _ in range(2):
        assert await sites.all() == (shop,)
    assert caplog.text.count("site 'blog': colour") == 1
    found = await sites.find(SYSTEM)
    assert (found.items, found.total, [*found.unreadable]) == ((shop,), 2, ["blog"])
    assert "colour" in found.unreadable["blog"]
    await sites.remove(SYSTEM, "blog", version=1)
    assert await sites.find(SYSTEM) == FoundSites((shop,), 1, {})
    async with database.reading() as db:
        [removal, *_] = await read(db, "blog", 1, kind="site")
    assert (removal.action, removal.before) == ("remove", newer)


async def test_only_admins_may_read_or_change_sites_and_changes_are_audited(
    sites: Sites, database: Database
) -> None:
    await sites.add(SYSTEM, SHOP)
    await sites.change(SYSTEM, "shop", {"is_active": False})
    await sites.rotate_key(SYSTEM, "shop")
    await sites.remove(SYSTEM, "shop")
    async with database.reading() as db:
        entries = await read(db, "shop", 10)
    assert [entry.action for entry in entries] == ["remove", "rotate", "edit", "add"]
    for actor in (CARL, OTTO, VERA):
        with pytest.raises(ForbiddenError, match="may not administer sites"):
            await sites.find(actor)
        with pytest.raises(ForbiddenError):
            await sites.add(actor, SHOP)


async def test_an_older_version_is_restored_with_its_key_and_switch_as_they_are(
    sites: Sites,
) -> None:
    await sites.add(SYSTEM, SHOP)
    await sites.remove(SYSTEM, "shop")
    first = await sites.add(SYSTEM, SHOP)
    await sites.change(SYSTEM, "shop", {"calls_at_once": 3, "modes": ["voice"]})
    rotated = await sites.rotate_key(SYSTEM, "shop")
    off = await sites.change(SYSTEM, "shop", {"is_active": False})
    versions = await sites.versions(SYSTEM, "shop")
    assert [(one.version, one.author) for one in versions] == [
        (4, "system"), (2, "system"), (1, "system"),
    ]  # fmt: skip
    assert [one.record.calls_at_once for one in versions] == [3, 3, None]
    with pytest.raises(StaleError):
        await sites.rollback(SYSTEM, "shop", 1, version=2)
    for missing in (3, 9):
        with pytest.raises(NotFoundError):
            await sites.rollback(SYSTEM, "shop", missing)
    back = await sites.rollback(SYSTEM, "shop", 1, version=off.version)
    assert back.record == SHOP.model_copy(update={"is_active": False})
    assert (back.version, back.key) == (5, rotated.key)
    assert back.key != first.key
    assert (await sites.versions(SYSTEM, "shop"))[0].record == back.record
