"""MCP over HTTP: the tools of each role, what they answer, and what they ask back."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, InputRequiredResult

from llm_router.connections.access import SYSTEM, Role
from llm_router.connections.record import Connection
from llm_router.gateway.app import build_app
from llm_router.gateway.mcp.queries import _names
from llm_router.gateway.mcp.results import MAX_BYTES, said
from llm_router.store.api_keys import KeyLimits
from llm_router.store.crypto import Purpose, Vault
from llm_router.testing.script import Fault
from llm_router.testing.server import FaultyServer, Script
from tests.contracts.databases import Files
from tests.contracts.gateway import ROLES, Gateway, gateway_on
from tests.contracts.mcp_client import ERAS, MODERN, Asking, asking, texts_of
from tests.contracts.stores import MASTER_KEY

READS = {"list_connections", "health", "why", "usage"}
QUERY = {"query_desk"}
SWITCHES = {"set_active", "drain"}
OPERATES = READS | QUERY | {"test"} | SWITCHES
TOOLS: Mapping[Role, set[str]] = {
    "viewer": READS,
    "worker": READS | QUERY,
    "operator": OPERATES,
    "editor": OPERATES,
    "admin": OPERATES,
}
WORDS = "All is well."
SECRET = "the caller's own words"


@asynccontextmanager
async def desk(gateway: Gateway, script: Script | None = None, **fields: Any) -> AsyncIterator[str]:
    """Adds a connection of the operator's, which everyone may use, to a server that runs."""
    async with FaultyServer(script or Script(words=("All", " is", " well."))) as server:
        row = {"name": "desk", "visibility": "everyone", "owner": "operator", **fields}
        made = await gateway.connection("admin", base_url=server.base_url, **row)
        yield made["id"]


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# ── Tools ────────────────────────────────────────────────────────────────────────────────────────


async def test_each_role_has_the_tools_that_it_may_call(gateway: Gateway) -> None:
    async with desk(gateway):
        for role in ROLES:
            async with asking(gateway, role) as asked:
                assert {*await asked.tools()} == TOOLS[role], role
                for name in OPERATES - TOOLS[role]:
                    with pytest.raises(MCPError, match="Unknown tool"):
                        await asked.result(name, prompt="x", connection="desk", active=False)


async def test_a_connection_answers_and_the_receipt_says_how(gateway: Gateway, era: str) -> None:
    async with desk(gateway), asking(gateway, "worker", era) as asked:
        assert (asked.client.protocol_version == MODERN) is (era == "auto")
        words, account = await asked.texts("query_desk", prompt=SECRET)
        assert words == WORDS
        assert account.startswith("Answered by desk (m).")
        [reply_id] = re.findall("[0-9a-f]{32}", account)
        receipt = await found(asked, reply_id)
        assert receipt["answered_by"] == ["desk"]
        assert receipt["integration"] == "mcp"
        assert [a["outcome"] for a in receipt["attempts"]] == ["won"]
        assert await found(asked, f"req_{reply_id}") == receipt
        board = await asked.client.read_resource("patchbay://board")
        assert '"name":"desk"' in str(board.contents[0])
        resource = await asked.client.read_resource(f"patchbay://replies/{reply_id}")
        assert reply_id in str(resource.contents[0])


async def found(asked: Asking, reply_id: str) -> Mapping[str, Any]:
    """Returns the receipt as soon as the usage log has it: within a second."""
    while (result := await asked.result("why", reply_id=reply_id)).is_error:
        assert "from a second after its end" in texts_of(result)[0]
    return await asked.data("why", reply_id=reply_id)


async def test_a_key_without_tokens_asks_nothing_and_still_sees_what_there_is(
    gateway: Gateway,
) -> None:
    _, gateway.keys["spent"] = await gateway.services.keys.add(
        SYSTEM, "spent", "operator", owner="operator", limits=KeyLimits(monthly_tokens=0)
    )
    async with desk(gateway), asking(gateway, "spent") as asked:
        for tool in (
            {"name": "query_desk", "prompt": "Hi?"},
            {"name": "test", "connection": "desk"},
        ):
            assert "used up its 0 tokens a month" in await asked.error(**tool)
        assert not (await asked.result("list_connections")).is_error


async def test_a_key_with_limits_tests_with_the_usual_question_alone(gateway: Gateway) -> None:
    _, gateway.keys["frugal"] = await gateway.services.keys.add(
        SYSTEM, "frugal", "admin", limits=KeyLimits(monthly_tokens=10**6)
    )
    async with desk(gateway), asking(gateway, "frugal") as asked:
        refused = await asked.error("test", connection="desk", prompt="A novel, please.")
        assert "with the usual question alone" in refused
        assert (await asked.data("test", connection="desk"))["works"] is True


async def test_another_connection_takes_over_unless_only_the_one_is_wanted(
    gateway: Gateway,
) -> None:
    async with (
        desk(gateway),
        desk(gateway, Script(fault=Fault.STATUS, status=500), name="cellar", priority=1),
        asking(gateway, "operator") as asked,
    ):
        words, account = await asked.texts("query_cellar", prompt="Hi?")
        assert words == WORDS
        assert "Answered by desk (m) in place of cellar, which was" in account
        assert "cellar" in await asked.error("query_cellar", prompt="Hi?", only=True)


async def test_the_connection_that_is_named_answers_though_it_comes_last(gateway: Gateway) -> None:
    async with (
        desk(gateway),
        desk(gateway, Script(words=("Slow.",), first_token_after=0.5), name="cellar", priority=9),
        asking(gateway, "operator") as asked,
    ):
        assert (await asked.texts("query_cellar", prompt="Hi?"))[0] == "Slow."


async def test_from_six_connections_on_one_tool_takes_the_name(gateway: Gateway) -> None:
    async with desk(gateway), asking(gateway, "admin") as asked:
        for number in range(5):
            await gateway.connection("admin", name=f"spare {number}", is_active=number > 0)
        assert len([n for n in await asked.tools() if n.startswith("query_")]) == 5
        await gateway.connection("admin", name="spare 6")
        assert [n for n in await asked.tools() if n.startswith("query")] == ["query"]
        assert (await asked.texts("query", connection="desk", prompt="Hi?"))[0] == WORDS
        assert "no connection 'attic'" in await asked.error(
            "query", connection="attic", prompt="Hi?"
        )


@pytest.mark.parametrize("fields", [{"use_in_mcp": False}, {"serves": "embeddings"}])
async def test_connections_that_are_not_for_mcp_or_no_chat_have_no_tool(
    gateway: Gateway, fields: dict[str, Any]
) -> None:
    async with desk(gateway, **fields), asking(gateway, "operator") as asked:
        assert not [name for name in await asked.tools() if name.startswith("query")]


def test_names_of_tools_differ_and_hold_letters_that_every_client_takes() -> None:
    names = ["GPT-4.1 mini", "gpt 4.1 mini", "Küche", "日本", "x" * 90]
    made = _names([Connection(id=f"id-{n}", name=name) for n, name in enumerate(names)])
    assert made == ["query_id-0", "query_id-1", "query_k_che", "query_id-3", f"query_{'x' * 40}"]


async def test_health_usage_and_a_test_say_how_a_connection_does(gateway: Gateway) -> None:
    async with desk(gateway), asking(gateway, "admin") as asked:
        assert (await asked.data("test", connection="desk"))["works"] is True
        health = await asked.data("health", connection="desk")
        assert (health["status"], [c["outcome"] for c in health["checks"]]) == ("active", ["ok"])
        [listed] = (await asked.data("list_connections"))["connections"]
        assert (listed["name"], listed["active"], listed["drained"]) == ("desk", True, False)
        await asked.texts("query_desk", prompt="Hi?")
        while not (used := (await asked.data("usage", connection="desk"))["connections"]):
            """It is in the usage log within a second."""
        assert (used[0]["name"], used[0]["replies"]) == ("desk", 1)


# ── Questions ────────────────────────────────────────────────────────────────────────────────────


async def is_active(gateway: Gateway, connection_id: str) -> bool:
    return (await gateway.store.get(SYSTEM, connection_id)).is_active


async def test_a_client_that_can_ask_its_user_does_and_heeds_the_answer(gateway: Gateway) -> None:
    await gateway.connection("admin", name="cellar", visibility="everyone")
    async with desk(gateway) as desk_id:
        async with asking(gateway, "operator", agrees=False) as asked:
            [said_no] = await asked.texts("set_active", connection="desk", active=False)
            assert said_no == "The user did not agree: nothing is changed."
            assert await is_active(gateway, desk_id)
        async with asking(gateway, "operator", agrees=True) as asked:
            [done] = await asked.texts("set_active", connection="desk", active=False)
            assert done == "desk is switched off."
            assert not await is_active(gateway, desk_id)
            [question] = asked.questions
            assert question.startswith("Switch off desk? It has given 0 replies since")
            assert "Instead of it ask calls: cellar; MCP: cellar; programs: cellar." in question
            assert (
                "already" in (await asked.texts("set_active", connection="desk", active=False))[0]
            )
            assert len(asked.questions) == 1


async def test_any_other_client_confirms_with_the_code_of_the_question(
    gateway: Gateway, era: str
) -> None:
    async with desk(gateway) as desk_id, asking(gateway, "operator", era) as asked:
        for wrong in ("", "AAAAAAAA", "ä"):
            [question] = await asked.texts("drain", connection="desk", confirm=wrong)
            assert question.startswith("Drain desk?")
        [code] = re.findall("confirm='([A-Z2-7]{8})'", question)
        async with asking(gateway, "editor", era) as other:
            assert "may not activate" in await other.error("drain", connection="desk", confirm=code)
        await gateway.store.change(SYSTEM, desk_id, {"priority": 3})
        [changed] = await asked.texts("drain", connection="desk", confirm=code)
        assert changed.startswith("Drain desk?"), "the code was that of an older state"
        [code] = re.findall("confirm='([A-Z2-7]{8})'", changed)
        assert await asked.texts("drain", connection="desk", confirm=code) == ["desk is drained."]
        assert (await gateway.store.get(SYSTEM, desk_id)).weight == 0
        [question] = await asked.texts("drain", connection="desk", drained=False)
        assert question.startswith("End the draining of desk?")


class NotingVault(Vault):
    """Notes for which purposes keys are derived."""

    def __init__(self) -> None:
        super().__init__([MASTER_KEY])
        self.purposes: list[Purpose] = []

    def derive(self, purpose: Purpose) -> tuple[bytes, ...]:
        self.purposes.append(purpose)
        return super().derive(purpose)


async def test_codes_have_another_key_than_states(files: Files) -> None:
    vault = NotingVault()
    async with (
        gateway_on(await files.new(), vault=vault) as gateway,
        desk(gateway),
        asking(gateway, "operator") as asked,
    ):
        await asked.texts("list_connections")
        assert "MCP's questions" in vault.purposes
        vault.purposes.clear()
        await asked.texts("drain", connection="desk")
    assert set(vault.purposes) == {"MCP's codes"}


async def test_the_state_of_a_question_is_sealed_and_of_one_key_and_any_process(
    gateway: Gateway,
) -> None:
    app = build_app(gateway.services)
    arguments = {"connection": "desk", "active": False}
    yes: Any = {"answer": ElicitResult(action="accept", content={"go_ahead": True})}

    async def answered(asked: Asking, state: str) -> Any:
        return await asked.client.session.call_tool(
            "set_active", arguments, input_responses=yes, request_state=state,
            allow_input_required=True,
        )  # fmt: skip

    async with (
        desk(gateway, team="red") as desk_id,
        app.router.lifespan_context(app),
        asking(gateway, "operator", agrees=True) as asked,
        asking(gateway, "operator", agrees=True, app=app) as elsewhere,
        asking(gateway, "editor", agrees=True) as other,
    ):
        question = await asked.client.session.call_tool(
            "set_active", arguments, allow_input_required=True
        )
        assert isinstance(question, InputRequiredResult)
        state = question.request_state or ""
        assert desk_id not in state
        for who, wrong in ((asked, f"{state[:-2]}AA"), (other, state), (asked, "v1.")):
            with pytest.raises(MCPError, match="Invalid or expired"):
                await answered(who, wrong)
        assert await is_active(gateway, desk_id)
        await answered(elsewhere, state)
        assert not await is_active(gateway, desk_id)


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("letter", ["a", "é", "語", "🙂"])
def test_a_result_is_cut_where_it_would_fill_a_context(letter: str) -> None:
    result = said(letter * MAX_BYTES, "Answered by desk.")
    first, second = texts_of(result)
    assert len(f"{first}{second}".encode()) <= MAX_BYTES
    assert first.endswith("[cut here: the rest is too long]")
    assert second == "Answered by desk."
    assert texts_of(said("whole", "x")) == ["whole", "x"]


async def test_wrong_arguments_are_named_and_not_repeated(gateway: Gateway, era: str) -> None:
    async with desk(gateway), asking(gateway, "operator", era) as asked:
        fault = await asked.error("query_desk", prompt="", words=SECRET, max_tokens=SECRET)
        assert {"prompt", "max_tokens", "words"} <= {*re.findall(r"(\w+): ", fault)}
        assert SECRET not in fault
        with pytest.raises(MCPError, match="Unknown tool: 'query_attic'"):
            await asked.result("query_attic", prompt="Hi?")
        with pytest.raises(MCPError, match="no such resource"):
            await asked.client.read_resource("file:///etc/passwd")


async def test_words_of_callers_are_in_no_log(
    gateway: Gateway, era: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        desk(gateway),
        desk(gateway, Script(fault=Fault.STATUS, status=500), name="cellar"),
        asking(gateway, "operator", era) as asked,
    ):
        await asked.texts("query_desk", prompt=SECRET)
        await asked.error("query_cellar", prompt=SECRET, only=True)
        await asked.error("query_desk", prompt=[SECRET], system=SECRET)
        await asked.error("why", reply_id=SECRET)
    assert len(caplog.records) > 3
    assert not [record for record in caplog.records if SECRET in record.getMessage()]


async def test_a_key_has_as_many_queries_in_progress_as_other_replies(gateway: Gateway) -> None:
    async with desk(gateway), asking(gateway, "admin") as asked:
        services = gateway.services
        key = await services.keys.authenticate(gateway.keys["admin"])
        assert key is not None
        with services.reply_places.taken(key.id, 10**9 // 5):
            busy = await asked.error("query_desk", prompt="Hi?")
        assert "in progress" in busy
        await asyncio.gather(*(asked.texts("query_desk", prompt="Hi?") for _ in range(5)))
        assert services.reply_places.in_progress == 0
