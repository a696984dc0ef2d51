"""Tests stored assistants on every database: versions, rollback, and who may do what."""

import asyncio

import pytest
from sqlalchemy import update

from llm_router.connections.access import SYSTEM, WORKER, Actor
from llm_router.errors import (
    ConfigurationError,
    ForbiddenError,
    NotFoundError,
    StaleError,
    TakenError,
)
from llm_router.store.assistant_tables import assistant_versions
from llm_router.store.assistants import Assistants, Opened
from llm_router.store.audit import read
from llm_router.store.database import Database
from llm_router.store.tables import audit_log
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.rules import Ownership
from tests.contracts.stores import ANNA, CARL, OTTO, VAULT, VERA

OPEN = Ownership(visibility="everyone")
SHOP = parse_assistant({"name": "shop", "greeting": "The shop.", "languages": ["en", "de"]})


@pytest.fixture
def assistants(database: Database) -> Assistants:
    return Assistants(database, VAULT)


async def test_an_assistant_is_read_as_it_was_written(assistants: Assistants) -> None:
    added = await assistants.add(CARL, SHOP, OPEN)
    assert (added.record, added.version, added.author) == (SHOP, 1, "carl")
    assert await assistants.get(OTTO, "shop") == added
    assert await assistants.open(WORKER) == Opened({"shop": SHOP}, {})
    assert await assistants.open(WORKER, ["shop", "none"]) == Opened({"shop": SHOP}, {})
    assert await assistants.find(OTTO) == ((added,), 1)


async def test_a_row_that_was_edited_by_hand_hides_no_other(
    assistants: Assistants, database: Database
) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    await assistants.add(CARL, AssistantRecord(name="other"), OPEN)
    spoilt = update(assistant_versions).values(record={"name": "other", "speed": "fast"})
    async with database.writing() as db:
        await db.execute(spoilt.where(assistant_versions.c.name == "other"))
    opened = await assistants.open(WORKER)
    assert opened.records == {"shop": SHOP}
    assert "speed" in opened.unreadable["other"]


async def test_headers_of_tools_are_sealed_and_only_calls_open_them(
    assistants: Assistants, database: Database
) -> None:
    key = "Bearer sk-0123456789"
    tool = {
        "name": "find_order", "url": "https://shop.example/orders", "description": "Finds it.",
        "headers": {"Authorization": key},
    }  # fmt: skip
    record = parse_assistant({"name": "shop", "http_tools": [tool]})
    shown = await assistants.add(CARL, record, OPEN)
    assert key not in shown.record.model_dump_json()
    # What was read is sent back with one change.
    edited = {"http_tools": shown.record.model_dump(mode="json")["http_tools"], "speed": 1.5}
    await assistants.change(CARL, "shop", edited)
    back = await assistants.rollback(CARL, "shop", 1)
    assert back == await assistants.get(OTTO, "shop")
    assert back.record == shown.record
    assert (await assistants.open(WORKER)).records == {"shop": record}
    async with database.reading() as db:
        for table in (assistant_versions, audit_log):
            assert key not in str((await db.execute(table.select())).all())


async def test_every_change_is_a_version_with_its_author(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    changed = await assistants.change(SYSTEM, "shop", {"greeting": "Hello.", "speed": 1.2})
    assert (changed.version, changed.author) == (2, "system")
    assert changed.record.greeting == "Hello."
    assert changed.record.languages == ("en", "de")
    versions, total = await assistants.versions(OTTO, "shop")
    assert [(v.version, v.author, v.record.greeting) for v in versions] == [
        (2, "system", "Hello."),
        (1, "carl", "The shop."),
    ]
    assert total == 2
    assert (await assistants.get(OTTO, "shop", 1)).record == SHOP


async def test_none_sets_a_field_back_and_the_same_value_makes_no_version(
    assistants: Assistants,
) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    assert (await assistants.change(CARL, "shop", {"greeting": "The shop."})).version == 1
    cleared = await assistants.change(CARL, "shop", {"greeting": None})
    assert cleared.record == AssistantRecord(name="shop", languages=("en", "de"))
    assert "greeting" not in cleared.record.model_fields_set


async def test_a_rollback_is_a_new_version_of_old_content(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    await assistants.change(CARL, "shop", {"greeting": "Wrong."})
    back = await assistants.rollback(CARL, "shop", 1, version=2)
    assert (back.version, back.record, back.restored) == (3, SHOP, 1)
    assert await assistants.differences(OTTO, "shop", 2) == {"greeting": ("Wrong.", "The shop.")}
    assert await assistants.differences(OTTO, "shop", 1, 3) == {}
    with pytest.raises(NotFoundError, match="version 9 of assistant 'shop'"):
        await assistants.rollback(CARL, "shop", 9)


async def test_a_change_of_an_old_version_is_refused(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    await assistants.change(CARL, "shop", {"speed": 1.1}, version=1)
    for stale in (
        assistants.change(CARL, "shop", {"speed": 1.2}, version=1),
        assistants.rollback(CARL, "shop", 1, version=1),
        assistants.remove(CARL, "shop", version=1),
    ):
        with pytest.raises(StaleError, match="read version 2") as caught:
            await stale
        assert caught.value.current == 2


async def test_of_changes_at_once_each_is_a_version_or_refused(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    speeds = [round(0.5 + number / 10, 1) for number in range(8)]
    outcomes = await asyncio.gather(
        *(assistants.change(CARL, "shop", {"speed": speed}, version=1) for speed in speeds),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StaleError) for outcome in outcomes) == 7
    await asyncio.gather(*(assistants.change(CARL, "shop", {"max_seconds": n}) for n in range(5)))
    assert (await assistants.get(OTTO, "shop")).version == 7


async def test_a_name_is_taken_once(assistants: Assistants) -> None:
    outcomes = await asyncio.gather(
        *(assistants.add(CARL, SHOP, OPEN) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TakenError) for outcome in outcomes) == 3
    with pytest.raises(ConfigurationError, match="name cannot be changed"):
        await assistants.change(CARL, "shop", {"name": "other"})


async def test_a_change_that_cannot_be_leaves_all_as_it_was(assistants: Assistants) -> None:
    before = await assistants.add(CARL, SHOP, OPEN)
    with pytest.raises(ConfigurationError, match="speed"):
        await assistants.change(CARL, "shop", {"speed": 9})
    assert await assistants.get(OTTO, "shop") == before


async def test_removing_takes_the_versions_along(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    await assistants.change(CARL, "shop", {"speed": 1.1})
    await assistants.remove(CARL, "shop", version=2)
    for gone in (
        assistants.get(OTTO, "shop"),
        assistants.versions(OTTO, "shop"),
        assistants.remove(CARL, "shop"),
    ):
        with pytest.raises(NotFoundError, match="no assistant 'shop'"):
            await gone
    assert (await assistants.add(CARL, SHOP, OPEN)).version == 1


async def test_the_oldest_versions_go(database: Database) -> None:
    assistants = Assistants(database, VAULT, most_versions=2)
    await assistants.add(CARL, SHOP, OPEN)
    for seconds in range(3):
        await assistants.change(CARL, "shop", {"max_seconds": seconds})
    versions, total = await assistants.versions(OTTO, "shop")
    assert ([v.version for v in versions], total) == ([4, 3], 2)


async def test_only_who_may_serve_calls_changes_assistants(assistants: Assistants) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    for actor in (ANNA, OTTO, WORKER, VERA):
        for refused in (
            assistants.add(actor, AssistantRecord(name="mine")),
            assistants.change(actor, "shop", {"speed": 1}),
            assistants.rollback(actor, "shop", 1),
            assistants.remove(actor, "shop"),
        ):
            with pytest.raises(ForbiddenError, match=f"{actor.name} may not change assistants"):
                await refused
    limited = Actor("lim", "editor", "lim", may_serve_calls=True, pools=frozenset({"a"}))
    for actor in (VERA, limited):
        with pytest.raises(ForbiddenError, match="may not read assistants"):
            await assistants.find(actor)


async def test_every_change_is_in_the_audit_log(assistants: Assistants, database: Database) -> None:
    await assistants.add(CARL, SHOP, OPEN)
    await assistants.change(CARL, "shop", {"greeting": "Hello."})
    await assistants.rollback(CARL, "shop", 1)
    await assistants.remove(CARL, "shop")
    async with database.reading() as db:
        entries = await read(db, "shop", 10)
    assert [(e.action, e.kind, e.before, e.after) for e in reversed(entries)] == [
        ("add", "assistant", {}, {"version": 1}),
        ("edit", "assistant", {"version": 1}, {"version": 2, "fields": ["greeting"]}),
        (
            "edit", "assistant", {"version": 2},
            {"version": 3, "fields": ["greeting"], "restored": 1},
        ),
        ("remove", "assistant", {"version": 3}, {}),
    ]  # fmt: skip
