"""Commands about calls list them, print what was said, follow it and delete it."""

import asyncio
from datetime import UTC, datetime

from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.voice.calls import CallAgent, CallFacts, CallItem
from tests.contracts.cli_shell import Shell

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
TOOL = {"name": "get_time", "arguments": "{}", "output": "09:30"}
ITEMS = [
    CallItem(id="a", role="user", text="What time is it?", created_at=NOW),
    CallItem(id="b", role="tool", tool_calls=[TOOL], created_at=NOW),
    CallItem(id="c", role="assistant", text="It is half past", interrupted_at=4, created_at=NOW,
             receipt={"connection": "cellar"}),
]  # fmt: skip
SAID = [
    "09:30:00 user: What time is it?",
    "09:30:00 tool: get_time({}) = 09:30",
    "09:30:00 assistant [cellar]: It is half past … (interrupted)",
]


AGENT = CallAgent(identity="agent-j1", worker="w1", job="j1")


def stored(shell: Shell) -> str:
    """Stores a call that has ended, and returns its id."""

    async def store() -> str:
        database = Database(shell.environ["DATABASE_URL"])
        await migrate(database)
        calls = CallStore(database)
        facts = CallFacts(assistant="shop", keep="transcript")
        call = await calls.claim("room", 1, AGENT, NOW, facts)
        assert call
        await calls.append(call.id, ITEMS, NOW)
        await calls.end(call.id, "caller left", NOW)
        await database.aclose()
        return call.id

    return asyncio.run(store())


def test_calls_are_listed_by_what_was_said_and_shown(here: Shell) -> None:
    call_id = stored(here)
    header, row = here("calls", "list", "--text", "HALF", "--state", "ended").stdout.splitlines()
    listed = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (listed["id"], listed["assistant"], listed["items"]) == (call_id, "shop", "3")
    assert here.json("calls", "list", "--assistant", "night") == []
    assert here("calls", "show", call_id).stdout.splitlines()[-3:] == SAID
    shown = here.json("calls", "show", call_id)
    assert [item["number"] for item in shown["items"]] == [1, 2, 3]
    assert shown["call"]["reason"] == "caller left"


def test_a_call_is_followed_to_its_end(here: Shell) -> None:
    followed = here("calls", "follow", stored(here))
    assert followed.stdout.splitlines() == SAID
    assert followed.stderr == "the call has ended: caller left\n"


def test_a_removed_call_is_gone(here: Shell) -> None:
    call_id = stored(here)
    assert here("calls", "remove", call_id).stdout == f"removed call {call_id}\n"
    for command in ("show", "remove", "follow"):
        assert "there is no call" in here("calls", command, call_id, code=2).stderr
