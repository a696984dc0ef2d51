"""Tests that several steps are applied to a store together or not at all."""

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Change, ConnectionStore, Query, Removal, Step
from llm_router.errors import (
    ForbiddenError,
    NotFoundError,
    RouterError,
    StaleError,
    TakenError,
)
from tests.contracts.stores import ANNA, KEY, added, connection


async def test_steps_are_applied_in_order(store: ConnectionStore) -> None:
    gone, stored = await added(store, name="a"), await added(store, name="b", api_key=KEY)
    revision = await store.revision()
    steps: list[Step] = [
        Removal(id=gone.id, version=1),
        Change(id=stored.id, changes={"name": "a", "priority": 3}, version=1),
        connection("b", id="new"),
    ]
    changed, new = await store.apply(SYSTEM, steps)
    assert (changed.id, changed.name, changed.version) == (stored.id, "a", 2)
    assert (new.id, new.name) == ("new", "b")
    assert [c.name for c in (await store.find(SYSTEM, Query(sort="name"))).items] == ["a", "b"]
    assert (await store.get(SYSTEM, stored.id, secrets=True)).api_key == KEY
    assert await store.revision() == revision + 1
    entries = await store.audit(SYSTEM, limit=3)
    assert {entry.action for entry in entries} == {"remove", "edit", "add"}


@pytest.mark.parametrize("last", ["stale", "taken", "absent", "forbidden"])
async def test_no_step_is_applied_if_one_fails(store: ConnectionStore, last: str) -> None:
    mine = await added(store, ANNA, "mine")
    theirs = await added(store, SYSTEM, "theirs", visibility="everyone")
    revision, entries = await store.revision(), await store.audit(SYSTEM)
    impossible: dict[str, tuple[Step, type[RouterError]]] = {
        "stale": (Change(id=mine.id, changes={"priority": 1}, version=0), StaleError),
        "taken": (connection("new"), TakenError),
        "absent": (Removal(id="none"), NotFoundError),
        "forbidden": (Removal(id=theirs.id), ForbiddenError),
    }
    step, error = impossible[last]
    with pytest.raises(error):
        await store.apply(
            ANNA, [connection("new"), Change(id=mine.id, changes={"weight": 5.0}), step]
        )
    page = await store.find(SYSTEM, Query())
    assert {c.id: c for c in page.items} == {mine.id: mine, theirs.id: theirs}
    assert (await store.revision(), await store.audit(SYSTEM)) == (revision, entries)
