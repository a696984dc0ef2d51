"""Plans of `phone plan` in words, and the doubts about a file."""

from typing import Any

from agent.phone.advice import advice_on
from agent.phone.provision import Plan, make_plan
from agent.phone.shown import describe_plan, plan_as_json
from agent.phone.wanted import wanted_objects
from llm_router.voice.phone.setup import PhoneSetup

AGENT = "patchbay"


def setup(**values: Any) -> PhoneSetup:
    return PhoneSetup.model_validate(values)


def plan_between(before: PhoneSetup, after: PhoneSetup) -> Plan:
    """Plans from a server that has what `before` says."""
    existing = wanted_objects(before, AGENT)
    for number, trunk in enumerate(existing.inbound):
        trunk.sip_trunk_id = f"ST_{number}"
    ids = {trunk.name: trunk.sip_trunk_id for trunk in existing.inbound}
    for rule in existing.rules:
        rule.trunk_ids[:] = [ids[name] for name in rule.trunk_ids]
    return make_plan(existing, wanted_objects(after, AGENT), AGENT)


def lines(before: PhoneSetup, after: PhoneSetup) -> list[str]:
    return [line for line, _ in describe_plan(plan_between(before, after))]


def shop(count: int = 1, **trunk: Any) -> PhoneSetup:
    numbers = [{"number": f"+1555010{n}"} for n in range(count)]
    return setup(trunks=[{"name": "main", **trunk}], numbers=numbers)


def test_a_first_plan_names_each_object_with_its_numbers() -> None:
    assert lines(PhoneSetup(), shop(7, allowed_addresses=["10.0.0.1"])) == [
        (
            "+ trunk for calls in main/default: numbers +15550100, +15550101, +15550102,"
            " +15550103, +15550104, and 2 more; allowed_addresses 10.0.0.1"
        ),
        "+ dispatch rule main/default",
    ]


def test_a_change_is_named_by_the_key_of_the_file() -> None:
    before = shop(2, inbound_username="in", inbound_password="s3cret-1")
    after = shop(3, inbound_username="in", inbound_password="s3cret-2", ring_for=20)
    assert lines(before, after) == [
        (
            "~ trunk for calls in main/default: password changed; numbers + +15550102;"
            " ring_for 30s -> 20s"
        ),
        "= 1 unchanged",
    ]
    assert lines(before, before) == ["= 2 unchanged"]


def test_what_goes_is_named() -> None:
    assert lines(shop(), PhoneSetup()) == [
        "- dispatch rule main/default",
        "- trunk for calls in main/default",
    ]


def test_programs_get_the_same_without_passwords() -> None:
    login = shop(inbound_username="in", inbound_password="s3cret-1")
    shown = plan_as_json(plan_between(shop(), login), ["a note"])
    [change] = shown["changes"]
    assert (change["action"], change["name"], change["id"]) == ("change", "main/default", "ST_0")
    assert change["fields"] == {
        "auth_password": {"before": None, "after": "**********"},
        "auth_username": {"before": None, "after": "in"},
    }
    assert (shown["unchanged"], shown["conflicts"], shown["notes"]) == (1, [], ["a note"])


def test_doubts_about_a_file_are_named_with_what_to_write() -> None:
    doubtful = setup(
        trunks=[{"name": "main"}, {"name": "idle"}],
        numbers=[{"number": "+15550100", "trunk": "main", "assistant": "tea"}],
        hours={"shop": {"timezone": "UTC"}},
    )
    said = "\n".join(advice_on(doubtful, ["default"]))
    for part in (
        "trunk main: anybody who knows a number",
        "trunk idle: has no numbers",
        "hours shop: nobody has them",
        "llm-router assistants add tea",
    ):
        assert part in said
    assert "assistant tea" not in "\n".join(advice_on(doubtful, None))
    assert [*advice_on(shop(allowed_addresses=["10.0.0.1"]), ["default"])] == []
    assert [*advice_on(PhoneSetup(), [])] == []
