"""LiveKit's SIP objects in memory, with the checks of its server, and the contract of both."""

import itertools
from collections.abc import Iterator
from typing import Any

from livekit.protocol.sip import SIPInboundTrunkInfo

from agent.dispatch import Dispatch
from agent.phone.objects import Kind, SipApi, SipError, SipObjects, identifier_of, mark_of
from agent.phone.provision import Action, Plan, apply_plan, make_plan
from agent.phone.wanted import wanted_objects
from llm_router.voice.phone.numbers import comparable
from llm_router.voice.phone.setup import PhoneSetup

AGENT = "patchbay"


class MemorySip:
    """A SIP service without a network. It refuses what livekit-server 1.13.5 refuses."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, Any]] = {kind: {} for kind in Kind}
        self._ids = itertools.count(1)
        self.fails_after: int | None = None
        """Number of changes after which it is away."""
        self.changes = 0

    async def read(self) -> SipObjects:
        copies = {kind: [_copied(each) for each in self._objects[kind].values()] for kind in Kind}
        return SipObjects(copies[Kind.INBOUND], copies[Kind.OUTBOUND], copies[Kind.RULE])

    async def create(self, kind: Kind, message: Any) -> str:
        prefix = "SDR" if kind is Kind.RULE else "ST"
        return self._store(kind, f"{prefix}_{next(self._ids)}", message)

    async def replace(self, kind: Kind, identifier: str, message: Any) -> None:
        if identifier not in self._objects[kind]:
            raise SipError(f"there is no {identifier}")
        self._store(kind, identifier, message)

    async def delete(self, kind: Kind, identifier: str) -> None:
        if self._objects[kind].pop(identifier, None) is None:
            raise SipError(f"there is no {identifier}")
        self._count()

    def _store(self, kind: Kind, identifier: str, message: Any) -> str:
        self._count()
        stored = _copied(message)
        if kind is Kind.RULE:
            stored.sip_dispatch_rule_id = identifier
        else:
            stored.sip_trunk_id = identifier
        after = {**self._objects[kind], identifier: stored}
        if kind is Kind.INBOUND:
            _check_inbound(after.values())
        elif kind is Kind.OUTBOUND and not (stored.numbers and stored.address):
            raise SipError("no trunk numbers specified")
        elif kind is Kind.RULE:
            keys = [key for each in after.values() for key in _rule_keys(each)]
            if len(keys) != len(set(keys)):
                raise SipError("Dispatch rule for the same trunk already exists")
        self._objects[kind] = after
        return identifier

    def _count(self) -> None:
        if self.fails_after is not None and self.changes >= self.fails_after:
            raise SipError("it is away")
        self.changes += 1


def _copied(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _check_inbound(trunks: Any) -> None:
    seen = set()
    for trunk in trunks:
        if not (trunk.numbers or trunk.allowed_addresses or trunk.auth_username):
            raise SipError("for security, one of the fields must be set")
        for number in {comparable(one) for one in trunk.numbers} or {""}:
            if number in seen and not trunk.allowed_numbers:
                raise SipError(f"Conflicting inbound SIP Trunks: {number}")
            seen.add(number)


def _rule_keys(rule: Any) -> Iterator[tuple[str, str]]:
    for trunk in rule.trunk_ids or [""]:
        for number in rule.numbers or [""]:
            yield trunk, comparable(number)


async def brought_to(api: SipApi, setup: PhoneSetup, agent: str = AGENT) -> Plan:
    """Plans and applies; returns the plan."""
    plan = make_plan(await api.read(), wanted_objects(setup, agent), agent)
    await apply_plan(plan, api)
    return plan


async def answering(api: SipApi, called: str) -> str:
    """Returns the assistant that a call to a number gets, as livekit-server chooses its rule."""
    objects = await api.read()
    matching = [
        trunk
        for trunk in objects.inbound
        if comparable(called) in {comparable(one) for one in trunk.numbers}
    ] or [trunk for trunk in objects.inbound if not trunk.numbers]
    if not matching:
        return "dropped"
    [trunk] = matching
    [rule] = [one for one in objects.rules if trunk.sip_trunk_id in one.trunk_ids]
    [agent] = rule.room_config.agents
    return Dispatch.from_metadata(agent.metadata).assistant


async def check_contract(api: SipApi, base: str) -> None:
    """Checks a SIP service from the first apply to the last; `base` begins its numbers."""
    first, second, third = (f"{base}{n}" for n in range(3))
    trunks = [{"name": "main", "allowed_addresses": ["127.0.0.1"], "headers": ["X-Account"]}]
    numbers = [{"number": first}, {"number": second, "assistant": "tea"}]
    shop = _setup(trunks=trunks, numbers=numbers)
    foreign = SIPInboundTrunkInfo(name="by hand", numbers=[third])
    identifier = await api.create(Kind.INBOUND, foreign)
    made = await brought_to(api, shop)
    assert [step.action for step in made.changes] == [Action.CREATE] * 4
    again = await brought_to(api, shop)
    assert [*again.changes] == []
    assert await answering(api, first) == "default"
    assert await answering(api, second.removeprefix("+")) == "tea"

    # The two change places, which LiveKit refuses to do at once.
    swapped = [{"number": second}, {"number": first, "assistant": "tea"}]
    await brought_to(api, _setup(trunks=trunks, numbers=swapped))
    assert await answering(api, first) == "tea"

    more = [*swapped, {"number": f"{base}3"}, {"number": f"{base}4", "assistant": "tea"}]
    await brought_to(api, _setup(trunks=trunks, numbers=more))
    crossed = [
        {**each, "assistant": "default" if each.get("assistant") else "tea"} for each in more[:2]
    ]
    crossing = await brought_to(api, _setup(trunks=trunks, numbers=[*crossed, *more[2:]]))
    assert {step.action for step in crossing.changes} == {Action.CHANGE}
    assert await answering(api, first) == "default"

    taken = make_plan(
        await api.read(),
        wanted_objects(_setup(trunks=trunks, numbers=[{"number": third}]), AGENT),
        AGENT,
    )
    assert len(taken.conflicts) == 1
    assert identifier in taken.conflicts[0]

    carrier = {
        "name": "carrier",
        "address": "127.0.0.1:9",
        "inbound_username": "in",
        "inbound_password": "s3cret-1",
        "username": "out",
        "password": "s3cret-2",
        "other_numbers": "night",
    }
    out = {"trunk": "carrier", "caller_id": first}
    whole = _setup(trunks=[*trunks, carrier], numbers=[{**one, "trunk": "main"} for one in more],
                   outbound=out)  # fmt: skip
    await brought_to(api, whole)
    assert [*(await brought_to(api, whole)).changes] == []
    assert await answering(api, f"{base}9") == "night"

    gone = await brought_to(api, PhoneSetup())
    assert {step.action for step in gone.changes} == {Action.DELETE}
    left = await api.read()
    assert identifier in [identifier_of(each) for each in left.inbound]
    for kind in Kind:
        assert not [one for one in left.of(kind) if one.metadata == mark_of(AGENT)]
    await api.delete(Kind.INBOUND, identifier)


def _setup(**values: Any) -> PhoneSetup:
    return PhoneSetup.model_validate(values)
