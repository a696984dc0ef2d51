"""Tests each cell of the table of permissions in `llm_router.connections.access`."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest

from llm_router.connections import access
from llm_router.connections.access import Action, Actor, Role, can_see, may_act, owns
from llm_router.connections.record import Connection

ROLES: tuple[Role, ...] = get_args(Role)
ACTIONS: tuple[Action, ...] = get_args(Action)
MINE = Connection(name="mine", owner="anna", team="red", is_approved_for_calls=True)
OTHERS = replace(MINE, name="theirs", owner="zoe", team="blue", visibility="everyone")
HIDDEN = replace(OTHERS, visibility="private")


def actor(role: Role) -> Actor:
    return Actor("anna", role, owner="anna", team="red")


def as_documented() -> dict[tuple[str, str], str]:
    """Reads the table in the module's docstring: "yes", "own" or nothing for each cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (access.__doc__ or "").splitlines()
        if re.match(r"\| \w", line)
    ]
    head, *body = rows
    return {
        (row[0], action): cell
        for row in body
        for action, cell in zip(head[1:], row[1:], strict=True)
    }


CELLS = as_documented()


def test_the_table_has_a_cell_for_every_role_and_action() -> None:
    assert set(CELLS) == {(role, action) for role in ROLES for action in ACTIONS}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_allowed_the_actions_of_the_table(role: Role, action: Action) -> None:
    cell = CELLS[role, action]
    who = actor(role)
    assert may_act(who, action) == (cell != "")
    assert may_act(who, action, MINE) == (cell != "")
    assert may_act(who, action, OTHERS) == (cell == "yes")
    if action not in {"add", "administer"} and role != "admin":
        assert not may_act(who, action, HIDDEN)


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"owner": "anna"}, True),
        ({"owner": "anna", "visibility": "private", "team": "blue"}, True),
        ({"owner": "zoe", "visibility": "everyone"}, True),
        ({"owner": "zoe", "visibility": "team", "team": "red"}, True),
        ({"owner": "zoe", "visibility": "team", "team": "blue"}, False),
        ({"owner": "zoe", "visibility": "team", "team": ""}, False),
        ({"owner": "zoe", "visibility": "private", "team": "red"}, False),
        ({"owner": ""}, False),
    ],
)
def test_an_actor_sees_its_own_its_teams_and_public_connections(
    fields: dict[str, str], seen: bool
) -> None:
    connection = Connection(name="a", **fields)  # type: ignore[arg-type]  # of several fields
    assert can_see(actor("viewer"), connection) is seen
    assert can_see(actor("admin"), connection)


def test_a_connection_without_owner_is_not_owned_by_an_actor_without_owner() -> None:
    anonymous = Actor("anonymous", "editor")
    assert not owns(anonymous, Connection(name="a", visibility="team"))
    assert not can_see(anonymous, Connection(name="a", visibility="team"))


def test_a_public_connection_of_a_team_can_only_be_edited_by_the_team() -> None:
    theirs = Connection(name="a", owner="zoe", team="red", visibility="everyone")
    assert may_act(actor("editor"), "edit", theirs)
    assert not may_act(Actor("ben", "editor", owner="ben", team="blue"), "edit", theirs)


@pytest.mark.parametrize("flagged", [True, False])
def test_a_worker_sees_what_is_flagged_for_livekit_alone(flagged: bool) -> None:
    private = replace(HIDDEN, use_in_livekit=flagged, is_approved_for_calls=True)
    assert can_see(Actor("worker", "worker"), private) is flagged
    assert not can_see(Actor("worker", "worker"), replace(private, is_approved_for_calls=False))
    assert not can_see(Actor("worker of red", "worker", team="red"), private)
    shared = replace(private, team="red", visibility="team")
    assert can_see(Actor("worker of red", "worker", team="red"), shared) is flagged


def test_an_audit_entry_has_actor_action_target_and_origin() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    who = Actor("anna", "editor", origin="10.0.0.1")
    entry = who.audit_entry("revoke", ("api_key", "k1"), now, before={"revoked": False})
    assert (entry.actor, entry.role, entry.origin, entry.at) == ("anna", "editor", "10.0.0.1", now)
    assert (entry.action, entry.kind, entry.target) == ("revoke", "api_key", "k1")
    assert (entry.before, entry.after) == ({"revoked": False}, {})
