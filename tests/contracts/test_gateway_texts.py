"""A test heard as it is spoken, and texts written by one connection, over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_router.connections.access import SYSTEM
from llm_router.connections.store import Query
from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import House, house_on, problem

KEY = "sk-0123456789-wxyz"
WORDS = "".join(Script().words)
RULES = {"name": "a", "provider": "offline", "base_url": "", "model_name": ""}
ALOUD = {"Accept": "application/x-ndjson"}


@pytest.fixture
async def house(files: Files) -> AsyncIterator[House]:
    """Where the operator has opened this machine to everybody."""
    async with house_on(await files.new(), allowed_addresses=("127.0.0.0/8",)) as house:
        yield house


# ── A test, aloud ────────────────────────────────────────────────────────────────────────────────


async def test_the_words_of_a_test_come_one_by_one_and_the_result_at_the_end(house: House) -> None:
    async with FaultyServer() as server:
        made = await house.connection(base_url=server.base_url)
        path = f"/connections/{made['id']}/test"
        answer = await house.call("editor", "POST", path, {}, headers=ALOUD)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *said, last = map(json.loads, answer.text.splitlines())
    assert len(said) > 3
    assert "".join(line["text"] for line in said) == WORDS
    assert (last["result"]["ok"], last["result"]["text"]) == (True, WORDS)
    after = (await house.call("editor", "GET", f"/connections/{made['id']}")).json()
    assert after["status"] == "active"


async def test_a_test_that_may_not_be_made_is_a_problem_aloud_too(house: House) -> None:
    made = await house.connection(base_url="http://93.184.215.14/v1")
    await house.store.change(SYSTEM, made["id"], {"base_url": "http://10.0.0.1/v1"})
    path = f"/connections/{made['id']}/test"
    problem(await house.call("editor", "POST", path, {}, headers=ALOUD), 403)


# ── Texts ────────────────────────────────────────────────────────────────────────────────────────


async def generated(house: House, script: Script, who: str = "editor", **fields: Any) -> Any:
    async with FaultyServer(script) as server:
        made = await house.connection(base_url=server.base_url, api_key=KEY, **fields)
        body = {"prompt": "Hi?", "system": "Be brief.", "temperature": 0.5, "max_tokens": 9}
        path = f"/connections/{made['id']}/generate"
        answer = await house.call(who, "POST", path, body)
        return answer, server.requests, made


async def test_a_text_comes_with_its_tokens_and_its_times(house: House) -> None:
    answer, (asked,), made = await generated(house, Script())
    said = answer.json()
    assert (said["text"], said["connection"], said["model"]) == (WORDS, "desk", "m")
    assert said["finish_reason"] == "stop"
    assert 0 < said["first_word"] <= said["duration"]
    assert said["usage"]["completion_tokens"] > 0
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert [m["content"] for m in asked.messages] == ["Be brief.", "Hi?"]
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.5, 9)
    # It counts, and its use is written down.
    used = (await house.call("editor", "GET", f"/connections/{made['id']}/usage")).json()
    assert used["latest"][0]["integration"] == "automation"
    assert used["latest"][0]["tokens_out"] == said["usage"]["completion_tokens"]
    actions = [e.action for e in await house.store.audit(SYSTEM, target=made["id"])]
    assert actions[0] == "generate"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(fault=Fault.STATUS, status=401), "rejected key"),
        (Script(fault=Fault.REFUSE), "unreachable"),
        (Script(fault=Fault.RESET_AFTER), "broken stream"),
    ],
)
async def test_a_server_that_fails_is_a_problem_with_the_reason(
    house: House, script: Script, said: str
) -> None:
    answer, _, _ = await generated(house, script)
    document = problem(answer, 502)
    ((name, reason),) = document["reasons"]
    assert name == "desk"
    assert reason.startswith(said)
    assert KEY not in answer.text


async def test_what_is_not_for_automation_says_which_flag_is_off(house: House) -> None:
    answer, asked, _ = await generated(house, Script(), use_in_automation=False)
    assert "its flag use_in_automation is off" in problem(answer, 403)["detail"]
    assert not asked


async def test_who_may_only_look_has_nothing_written(house: House) -> None:
    answer, asked, _ = await generated(house, Script(), who="viewer", team="red", visibility="team")
    problem(answer, 403)
    assert not asked


async def test_what_is_switched_off_is_not_asked(house: House) -> None:
    answer, asked, _ = await generated(house, Script(), is_active=False)
    assert "'desk' cannot be asked now: not active" in problem(answer, 409)["detail"]
    assert not asked


# ── A file, as a whole ───────────────────────────────────────────────────────────────────────────


async def applied(house: House, who: str, *rows: dict[str, Any], **params: Any) -> Any:
    return await house.call(who, "POST", "/connections/apply", [*rows], params=params)


async def test_a_plan_that_is_out_of_date_is_refused(each_house: House) -> None:
    row = {"name": "a", "provider": "offline", "priority": 4}
    await each_house.connection(**RULES)
    shown = (await applied(each_house, "editor", row, dry_run=True)).json()
    assert shown["applied"] is False
    (changed,) = shown["changed"]
    assert changed["fields"] == {"priority": {"before": 0, "after": 4}}
    await each_house.call("editor", "PATCH", f"/connections/{changed['id']}", {"priority": 2})
    refused = problem(await applied(each_house, "editor", row, plan=shown["plan"]), 409)
    assert "look at the plan anew" in refused["detail"]
    again = (await applied(each_house, "editor", row, dry_run=True)).json()
    assert (await applied(each_house, "editor", row, plan=again["plan"])).json()["applied"]


async def test_what_others_have_is_neither_changed_nor_pruned(each_house: House) -> None:
    theirs = await each_house.connection("admin", name="a", visibility="everyone")
    row = {"name": "a", "provider": "offline"}
    plan = (await applied(each_house, "editor", row, prune=True)).json()
    assert (plan["added"], plan["removed"]) == (["a"], [])
    assert (await each_house.store.get(SYSTEM, theirs["id"])).version == 1
    assert (await each_house.store.find(SYSTEM, Query())).total == 2


async def test_one_that_is_switched_off_by_a_file_says_so(each_house: House) -> None:
    made = await each_house.connection(**RULES)
    await applied(each_house, "editor", {"name": "a", "provider": "offline", "is_active": False})
    kept = await each_house.store.get(SYSTEM, made["id"])
    assert (kept.status, kept.status_reason) == ("deactivated", "by editor")


async def test_an_address_that_may_not_be_called_keeps_all_of_it_from_being_done(
    each_house: House,
) -> None:
    rows = {"name": "a", "provider": "offline"}, {"name": "b", "base_url": "http://169.254.169.254"}
    problem(await applied(each_house, "editor", *rows), 403)
    assert (await each_house.store.find(SYSTEM, Query())).total == 0
