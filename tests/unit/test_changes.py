"""Tests the plan that brings stored connections in line with a file."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_router.connections.changes import make_plan
from llm_router.connections.record import Connection
from llm_router.connections.store import Change, Removal

KEY = "sk-0123456789-wxyz"


def existing(name: str, **fields: Any) -> Connection:
    return Connection(**{"name": name, "id": f"id-{name}", "owner": "anna", "version": 1, **fields})


def test_one_of_the_same_name_is_changed_and_a_new_one_added() -> None:
    a = existing("a")
    plan = make_plan([a], [Connection(name="a", priority=3), Connection(name="b")], "anna")
    assert [c.name for c in plan.added] == ["b"]
    (changed,) = plan.changed
    assert (changed.stored, changed.values) == (a, {"priority": 3})
    assert changed.for_display() == {"priority": (0, 3)}


def test_one_with_an_id_may_be_renamed() -> None:
    plan = make_plan([existing("a")], [Connection(id="id-a", name="z")], "anna")
    assert not plan.added
    assert plan.changed[0].values == {"name": "z"}


def test_a_key_that_the_file_leaves_out_stays_and_another_is_not_shown() -> None:
    a = existing("a", api_key=KEY, headers={"X": "1"})
    assert make_plan([a], [Connection(name="a")], "anna").unchanged == (a,)
    assert make_plan([a], [Connection(name="a", api_key=KEY)], "anna").unchanged == (a,)
    plan = make_plan([a], [Connection(name="a", api_key="sk-another-one")], "anna")
    assert plan.changed[0].for_display() == {"api_key": ("set", "another")}
    assert "sk-" not in repr(plan)


def test_the_same_name_of_another_owner_is_another_connection() -> None:
    theirs = existing("a", owner="ben")
    plan = make_plan([theirs], [Connection(name="a")], "anna", prune=True)
    assert [c.name for c in plan.added] == ["a"]
    assert not plan.removed


def test_removals_come_first_so_that_names_are_free() -> None:
    a = existing("a")
    plan = make_plan([a], [Connection(id="new", name="a")], "anna", prune=True)
    removal, addition = plan.steps()
    assert removal == Removal(id="id-a", version=1)
    assert isinstance(addition, Connection)


def test_a_change_is_based_on_the_version_in_the_plan() -> None:
    plan = make_plan([existing("a", version=7)], [Connection(name="a", weight=2.0)], "anna")
    assert plan.steps() == [Change(id="id-a", changes={"weight": 2.0}, version=7)]


def test_different_plans_have_different_digests() -> None:
    a, wanted = existing("a"), [Connection(name="a", priority=3)]
    first = make_plan([a], wanted, "anna").digest()
    assert make_plan([a], wanted, "anna").digest() == first
    others = [
        make_plan([replace(a, version=2)], wanted, "anna"),
        make_plan([a], [Connection(name="a", weight=3.0)], "anna"),
        make_plan([a, existing("b")], wanted, "anna", prune=True),
        make_plan([], wanted, "anna"),
    ]
    assert len({first, *(plan.digest() for plan in others)}) == 5


names = st.sampled_from("abcdef")
records = st.builds(
    Connection, name=names, priority=st.integers(0, 2), tags=st.sampled_from([(), ("t",)])
)
several = st.lists(records, unique_by=lambda c: c.name)


@given(several, several, st.booleans())
def test_applying_a_file_twice_changes_nothing_the_second_time(
    before: list[Connection], wanted: list[Connection], prune: bool
) -> None:
    stored = {f"id-{c.name}": replace(c, id=f"id-{c.name}", owner="anna") for c in before}
    plan = make_plan([*stored.values()], wanted, "anna", prune=prune)
    for step in plan.steps():
        if isinstance(step, Connection):
            stored[step.name] = replace(step, id=step.name, owner="anna")
        elif isinstance(step, Change):
            stored[step.id] = replace(stored[step.id], **step.changes)
        else:
            del stored[step.id]
    again = make_plan([*stored.values()], wanted, "anna", prune=prune)
    assert again.steps() == []
    said = {c.name: (c.priority, c.tags) for c in stored.values()}
    assert {c.name: (c.priority, c.tags) for c in wanted}.items() <= said.items()
    if prune:
        assert len(said) == len(wanted)
