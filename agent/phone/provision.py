"""Brings a LiveKit server's SIP objects to what the telephone's file asks for.

`make_plan` decides, and is pure; `apply_plan` carries a plan out, step by step. A plan made anew
goes on where one was broken off.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.phone.objects import (
    Kind,
    SipApi,
    SipError,
    SipObjects,
    differences,
    identifier_of,
    mark_of,
    marked_agent,
    plain,
)
from llm_router.voice.phone.numbers import comparable


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """One object, and what happens to it."""

    action: Action
    kind: Kind
    name: str
    identifier: str = ""
    """Its id; empty for one that is made."""
    message: Any = field(default=None, repr=False)
    """How it will be; it may hold a password."""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Fields that differ, with the values before and after."""
    is_partial: bool = False
    """Whether a later step of the plan changes the object again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can be taken, and what stands in their way."""

    steps: Sequence[Step]
    conflicts: Sequence[str] = ()
    """Objects that others have made and that exclude ours; a plan with any is not applied."""

    @property
    def changes(self) -> Sequence[Step]:
        """The steps that people are shown."""
        return [s for s in self.steps if s.action is not Action.LEAVE and not s.is_partial]


def make_plan(existing: SipObjects, wanted: SipObjects, agent_name: str) -> Plan:
    """Decides what to do; `wanted` names trunks in rules, as `wanted_objects` makes them."""
    mark = mark_of(agent_name)
    conflicts = [*_conflicts(existing, wanted, mark)]
    ours = {kind: [m for m in existing.of(kind) if m.metadata == mark] for kind in Kind}
    recreated = _without_numbers_left(ours[Kind.INBOUND], wanted.inbound)
    inbound = [*_compare(Kind.INBOUND, ours[Kind.INBOUND], wanted.inbound, recreated)]
    outbound = [*_compare(Kind.OUTBOUND, ours[Kind.OUTBOUND], wanted.outbound)]
    surviving = {s.identifier: s.name for s in inbound if s.action in {Action.CHANGE, Action.LEAVE}}
    rules = [*_compare(Kind.RULE, ours[Kind.RULE], wanted.rules, names=surviving)]
    narrowed = _narrowing(inbound, ours[Kind.INBOUND])
    steps = [*rules, *inbound, *outbound]
    ordered = [
        *_only(Action.DELETE, steps),
        *narrowed,
        *_only(Action.CHANGE, [*inbound, *outbound]),
        *_only(Action.CREATE, [*inbound, *outbound]),
        *_only(Action.CHANGE, rules),
        *_only(Action.CREATE, rules),
        *_only(Action.LEAVE, steps),
    ]
    return Plan(ordered, conflicts)


async def apply_plan(
    plan: Plan, api: SipApi, on_step: Callable[[Step], object] = lambda _: None
) -> None:
    """Takes the steps of a plan. Raises SipError, which names the step that failed."""
    if plan.conflicts:
        raise SipError("; ".join(plan.conflicts))
    ids = {
        step.name: step.identifier
        for step in plan.steps
        if step.kind is Kind.INBOUND and step.action in {Action.CHANGE, Action.LEAVE}
    }
    for step in plan.steps:
        try:
            made = await _take(step, api, ids)
        except SipError as error:
            raise SipError(f"{step.kind} {step.name}: {error}") from error
        if made and step.kind is Kind.INBOUND:
            ids[step.name] = made
        if step.action is not Action.LEAVE and not step.is_partial:
            on_step(step)


async def _take(step: Step, api: SipApi, ids: Mapping[str, str]) -> str:
    message = step.message
    if step.kind is Kind.RULE and message is not None:
        named = message
        message = type(named)()
        message.CopyFrom(named)
        message.trunk_ids[:] = [ids[name] for name in named.trunk_ids]
    if step.action is Action.CREATE:
        return await api.create(step.kind, message)
    if step.action is Action.CHANGE:
        await api.replace(step.kind, step.identifier, message)
    elif step.action is Action.DELETE:
        await api.delete(step.kind, step.identifier)
    return ""


def _only(action: Action, steps: Iterable[Step]) -> Iterator[Step]:
    return (step for step in steps if step.action is action)


def _compare(
    kind: Kind,
    ours: Sequence[Any],
    wanted: Sequence[Any],
    recreated: frozenset[str] = frozenset(),
    names: Mapping[str, str] | None = None,
) -> Iterator[Step]:
    """Yields a step for each object of a kind. `names`: those of trunks by id, for rules."""
    by_name = {each.name: each for each in wanted}
    found = set()
    for each in ours:
        name, identifier = each.name, identifier_of(each)
        new = by_name.get(name)
        if new is None or name in found or identifier in recreated:
            yield Step(Action.DELETE, kind, name, identifier)
            continue
        found.add(name)
        before = plain(each)
        if names is not None:
            before["trunk_ids"] = [names.get(one, one) for one in each.trunk_ids]
        changes = differences(before, plain(new))
        action = Action.CHANGE if changes else Action.LEAVE
        yield Step(action, kind, name, identifier, new, changes)
    for name, new in by_name.items():
        if name not in found:
            changes = differences({}, plain(new))
            yield Step(Action.CREATE, kind, name, "", new, changes)


def _numbers(message: Any) -> set[str]:
    return {comparable(number) for number in message.numbers}


def _without_numbers_left(ours: Sequence[Any], wanted: Sequence[Any]) -> frozenset[str]:
    """Returns the ids of trunks that must be made anew, since they lose all their numbers.

    A trunk without numbers takes all calls, so it cannot be emptied before it is filled again. Nor
    can a trunk become one for all numbers, or cease to be it, beside another.
    """
    by_name = {each.name: each for each in wanted}
    return frozenset(
        identifier_of(each)
        for each in ours
        if (new := by_name.get(each.name)) is not None
        and _numbers(each) != _numbers(new)
        and not _numbers(each) & _numbers(new)
    )


def _narrowing(steps: Sequence[Step], ours: Sequence[Any]) -> Iterator[Step]:
    """Yields steps that take numbers from trunks before other trunks get them.

    LiveKit refuses a number that two trunks have, even for a moment.
    """
    before = {identifier_of(each): each for each in ours}
    gained = {
        number
        for step in (*_only(Action.CREATE, steps), *_only(Action.CHANGE, steps))
        for number in _numbers(step.message)
        - (_numbers(before[step.identifier]) if step.identifier else set())
    }
    for step in _only(Action.CHANGE, steps):
        old = before[step.identifier]
        lost = _numbers(old) - _numbers(step.message)
        if lost & gained:
            message = type(old)()
            message.CopyFrom(old)
            message.numbers[:] = [one for one in old.numbers if comparable(one) not in lost]
            yield Step(
                Action.CHANGE, step.kind, step.name, step.identifier, message, is_partial=True
            )


def _conflicts(existing: SipObjects, wanted: SipObjects, mark: str) -> Iterator[str]:
    """Yields a sentence for each object of others beside which LiveKit refuses ours."""
    numbers = {number for each in wanted.inbound for number in _numbers(each)}
    takes_others = any(not each.numbers for each in wanted.inbound)
    for trunk in existing.inbound:
        if trunk.metadata == mark or trunk.allowed_numbers:
            continue
        whose = f"LiveKit's trunk {trunk.sip_trunk_id} {trunk.name!r}{_owner(trunk.metadata)}"
        cure = f"delete that trunk (`lk sip inbound delete {trunk.sip_trunk_id}`), or remove"
        if common := sorted(_numbers(trunk) & numbers):
            shown = ", ".join(common[:3]) + (" and others" if len(common) > 3 else "")  # noqa: PLR2004
            yield f"{shown}: on {whose}; {cure} the number from the telephone's file"
        elif not trunk.numbers and takes_others:
            yield f"other_numbers: {whose}, takes them; {cure} other_numbers"
    own = {each.sip_trunk_id for each in existing.inbound if each.metadata == mark}
    for rule in existing.rules:
        is_open = not (rule.inbound_numbers or rule.numbers)
        if rule.metadata != mark and is_open and own & {*rule.trunk_ids}:
            yield (
                f"LiveKit's dispatch rule {rule.sip_dispatch_rule_id} {rule.name!r}"
                f"{_owner(rule.metadata)}, takes the calls of a trunk of this file; delete it"
                f" (`lk sip dispatch delete {rule.sip_dispatch_rule_id}`)"
            )


def _owner(metadata: str) -> str:
    agent = marked_agent(metadata)
    return f", made for the agent {agent!r}" if agent else ", which Patchbay has not made"
