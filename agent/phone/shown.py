"""Writes plans as people and as programs read them. Pure."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from agent.phone.provision import Action, Plan, Step

SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-", Action.LEAVE: "="}
STYLES = {Action.CREATE: "green", Action.CHANGE: "yellow", Action.DELETE: "red", Action.LEAVE: ""}
_KEYS = {
    "auth_username": "username",
    "auth_password": "password",
    "ringing_timeout": "ring_for",
    "max_call_duration": "max_minutes",
    "headers_to_attributes": "headers",
    "hide_phone_number": "hide_callers",
    "room_config": "agent",
    "trunk_ids": "trunk",
}
"""Keys of the file for fields of LiveKit's; others have the same name, or none in the file."""
_AT_CREATION = ("numbers", "allowed_addresses", "address")
_MOST = 5
"""Entries of a list that are shown."""


def describe_step(step: Step) -> str:
    """Returns one line: a sign, the object, and what of it changes."""
    head = f"{SIGNS[step.action]} {step.kind} {step.name}"
    if step.action is Action.CREATE:
        fields = [name for name in _AT_CREATION if name in step.changes]
    else:
        fields = [*step.changes]
    details = "; ".join(_describe(name, *step.changes[name]) for name in fields)
    return f"{head}: {details}" if details else head


def describe_plan(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yields each line with its style."""
    for step in plan.changes:
        yield describe_step(step), STYLES[step.action]
    unchanged = sum(step.action is Action.LEAVE for step in plan.steps)
    if unchanged:
        yield f"= {unchanged} unchanged", "dim"
    for conflict in plan.conflicts:
        yield f"! {conflict}", "red"


def plan_as_json(plan: Plan, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "changes": [
            {
                "action": step.action.value,
                "kind": step.kind.value,
                "name": step.name,
                "id": step.identifier,
                "fields": {
                    name: {"before": before, "after": after}
                    for name, (before, after) in step.changes.items()
                },
            }
            for step in plan.changes
        ],
        "unchanged": sum(step.action is Action.LEAVE for step in plan.steps),
        "conflicts": [*plan.conflicts],
        "notes": [*notes],
    }


def _describe(name: str, before: Any, after: Any) -> str:
    key = _KEYS.get(name, name)
    if name == "auth_password":
        return f"{key} {'changed' if before and after else 'removed' if before else 'set'}"
    if isinstance(before or [], list) and isinstance(after or [], list):
        return f"{key} {_list_changes(before or [], after or [])}"
    return (
        f"{key} {_text(before)} -> {_text(after)}"
        if before is not None
        else f"{key} {_text(after)}"
    )


def _list_changes(before: Sequence[Any], after: Sequence[Any]) -> str:
    old, new = ([_text(each) for each in side] for side in (before, after))
    known, wanted = set(old), set(new)
    if not old:
        return _joined(new, "")
    added = [each for each in new if each not in known]
    removed = [each for each in old if each not in wanted]
    parts = [_joined(side, sign) for side, sign in ((added, "+"), (removed, "-")) if side]
    return ", ".join(parts) or f"{_joined(old, '')} -> {_joined(new, '')}"


def _joined(names: Sequence[str], sign: str) -> str:
    shown = [f"{sign}{' ' if sign else ''}{name}" for name in names[:_MOST]]
    more = len(names) - _MOST
    return ", ".join([*shown, *([f"and {more:,} more"] if more > 0 else [])])


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
