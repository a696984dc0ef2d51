"""Tools of MCP servers: chosen, bounded, guarded; a server that dies costs no call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from livekit.agents import Agent

from agent.call_tools import CallTools
from agent.toolbox.effects import Effects
from agent.toolbox.errors import ToolError
from agent.toolbox.mcp import McpTools
from agent.toolbox.tool import DeclaredTool
from agent.tools.base import ToolContext
from llm_router.net.guard import AddressGuard
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ToolCall
from llm_router.voice.tools import McpServer
from tests.contracts.byte_server import ByteServer, page
from tests.contracts.livekit_asking import opened, reply_of
from tests.contracts.mcp_tool_server import ToolServer
from tests.contracts.voiced import voiced

OPEN = AddressGuard(allowed=("localhost",))


def chosen(url: str, **changes: Any) -> McpServer:
    fields: dict[str, Any] = {
        "name": "shop", "url": url, "tools": ("stock", "book", "refuse"), "timeout": 10, **changes,
    }  # fmt: skip
    return McpServer(**fields)


@asynccontextmanager
async def connected(
    server: McpServer, guard: AddressGuard = OPEN
) -> AsyncIterator[dict[str, DeclaredTool]]:
    effects = Effects("call-1")
    tools = McpTools(server, guard, effects)
    try:
        yield {tool.id: tool for tool in await tools.tools()}
    finally:
        await effects.aclose()
        await tools.aclose()


async def test_only_the_chosen_tools_are_offered_with_their_descriptions() -> None:
    async with ToolServer() as server, connected(chosen(server.url, tools=("stock",))) as tools:
        assert [*tools] == ["stock"]
        assert tools["stock"].description.startswith("Tells how many")
        assert "item" in tools["stock"].parameters["properties"]


async def test_a_result_is_one_bounded_line_of_text() -> None:
    async with (
        ToolServer() as server,
        connected(chosen(server.url, answer_characters=30)) as tools,
    ):
        said = await tools["stock"].run({"item": "tea"})
        assert said == "There are 3 of tea. And more. "


async def test_a_tool_that_changes_something_runs_once() -> None:
    async with ToolServer() as server, connected(chosen(server.url)) as tools:
        assert await tools["book"].run({"day": "Friday"}) == "Booked for Friday."
        assert "not repeated" in await tools["book"].run({"day": "Friday"})
        assert server.booked == ["Friday"]


async def test_a_run_of_an_earlier_agent_is_known_by_the_name_in_the_conversation() -> None:
    effects = Effects("call-1")
    effects.recall("book_table", {"day": "Friday"}, "Booked for Friday.")
    async with ToolServer() as server:
        tools = McpTools(chosen(server.url, tools=("book.table",)), OPEN, effects)
        [book] = await tools.tools()
        assert book.id == "book_table"
        assert "not repeated" in await book.run({"day": "Friday"})
        await tools.aclose()
        assert not server.booked


async def test_another_agent_may_run_a_tool_again_that_only_reads() -> None:
    effects = Effects("call-1")
    async with ToolServer() as server:
        tools = McpTools(chosen(server.url), OPEN, effects)
        found = [tool.id for tool in await tools.tools()]
        await tools.aclose()
    assert [name for name in found if not effects.may_change(name)] == ["stock"]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"), [("refuse", {}, "it failed"), ("book", {"wrong": 1}, "day")]
)
async def test_a_refusal_of_the_server_is_given_to_the_model(
    name: str, arguments: dict[str, Any], reason: str
) -> None:
    async with ToolServer() as server, connected(chosen(server.url)) as tools:
        with pytest.raises(ToolError, match=reason):
            await tools[name].run(arguments)


async def test_a_server_that_dies_in_the_middle_is_not_asked_to_repeat_and_serves_again() -> None:
    async with ToolServer() as server, connected(chosen(server.url)) as tools:
        server.works.clear()
        booking = asyncio.ensure_future(tools["book"].run({"day": "Friday"}))
        await server.booking.wait()
        await server.die()
        with pytest.raises(ToolError, match="Do not repeat it") as failed:
            await booking
        assert "localhost" not in failed.value.message
        with pytest.raises(ToolError, match="cannot be reached"):
            await tools["stock"].run({"item": "tea"})
        server.works.set()
        await server.start()
        assert "3 of tea" in await tools["stock"].run({"item": "tea"})
        with pytest.raises(ToolError, match="Do not repeat it"):
            await tools["book"].run({"day": "Friday"})
        assert server.booked == ["Friday"]


async def test_a_tool_that_hangs_ends_after_the_time_limit() -> None:
    async with ToolServer() as server, connected(chosen(server.url, timeout=0.5)) as tools:
        server.works.clear()
        with pytest.raises(ToolError, match=r"no answer within 0\.5 s"):
            await tools["book"].run({"day": "Friday"})
        server.works.set()


async def test_a_private_address_is_not_called() -> None:
    async with ByteServer(lambda _: page("200 OK")) as server:
        with pytest.raises(ToolError, match="may not be called"):
            async with connected(chosen(f"{server.root}/mcp"), AddressGuard()):
                pytest.fail("it connected")
        assert not server.asked


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        page("200 OK", b"{" * 10_000_000, "content-type: application/json"),
        page("200 OK", b"<html>", "content-type: text/html"),
        page("307 Moved", b"", "location: http://169.254.169.254/mcp"),
        page("500 Internal Server Error"),
        page("200 OK", b"x", "content-type: application/json", "content-encoding: gzip"),
    ],
    ids=["hangs", "10 MB", "a page", "a redirect", "an error", "compressed"],
)
async def test_what_is_no_server_of_tools_gives_none_in_bounded_time(answer: bytes) -> None:
    async with ByteServer(lambda _: answer) as server:
        with pytest.raises(ToolError) as failed:
            async with connected(chosen(f"{server.root}/mcp", timeout=0.5)):
                pytest.fail("it connected")
    assert "localhost" not in failed.value.message


async def test_a_call_begins_without_a_dead_server_and_gets_the_tools_of_one_that_answers() -> None:
    async with ToolServer() as server, opened("http", Script()) as (model, models):

        def script(number: int) -> Script:
            if models[0].requests[number].messages[-1]["role"] == "user":
                return Script(words=[], tool_calls=[ToolCall("c1", "stock", '{"item": "tea"}')])
            return Script(words=["Three."])

        await models[0].behave(script)
        dead = chosen("http://localhost:9/mcp", name="dead")
        tools = CallTools(ToolContext(), ["time"], mcp=[dead, chosen(server.url)], guard=OPEN)
        agent = Agent(instructions="Be brief.", tools=[*tools.tools])
        async with voiced(model, agent) as session:
            tools.connect(agent)
            await asyncio.wait(tools.connecting)
            assert await reply_of(session, "Is there tea?") == "Three."
        await tools.aclose()
    [*_, result] = models[0].requests[-1].messages
    assert "3 of tea" in result["content"]


def booking(model: FaultyServer, words: str) -> Callable[[int], Script]:
    """Behaves as a model that books each time it is asked, and then says the words."""

    def script(number: int) -> Script:
        if model.requests[number].messages[-1]["role"] == "user":
            call = ToolCall(f"c{number}", "book", '{"day": "Friday"}')
            return Script(words=[], tool_calls=[call])
        return Script(words=[words])

    return script


async def test_a_conversation_goes_on_after_a_server_that_died_while_its_tool_ran() -> None:
    async with ToolServer() as server, opened("http", Script()) as (model, models):
        await models[0].behave(booking(models[0], "I cannot confirm it."))
        tools = CallTools(ToolContext(), [], mcp=[chosen(server.url)], guard=OPEN)
        agent = Agent(instructions="Be brief.")
        async with voiced(model, agent) as session:
            tools.connect(agent)
            await asyncio.wait(tools.connecting)
            server.works.clear()
            answer = asyncio.ensure_future(reply_of(session, "Book Friday."))
            await server.booking.wait()
            await server.die()
            assert await answer == "I cannot confirm it."
            assert await reply_of(session, "And now?") == "I cannot confirm it."
        await tools.aclose()
    results = [m["content"] for m in models[0].requests[-1].messages if m["role"] == "tool"]
    assert all("Do not repeat it" in result for result in results), results
    assert len(results) == 2


async def test_a_call_that_ends_while_a_server_hangs_leaves_no_connection_to_it() -> None:
    async with ByteServer(lambda _: b"") as server:
        tools = CallTools(ToolContext(), [], mcp=[chosen(f"{server.root}/mcp")], guard=OPEN)
        tools.connect(Agent(instructions="Be brief."))
        while not server.asked:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        await tools.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "MCP server shop"]


async def test_an_interrupted_turn_neither_stops_nor_repeats_what_it_has_begun() -> None:
    async with ToolServer() as server, opened("http", Script()) as (model, models):
        await models[0].behave(booking(models[0], "Booked."))
        tools = CallTools(ToolContext(), [], mcp=[chosen(server.url)], guard=OPEN)
        agent = Agent(instructions="Be brief.")
        async with voiced(model, agent) as session:
            tools.connect(agent)
            await asyncio.wait(tools.connecting)
            server.works.clear()
            first = session.generate_reply(user_input="Book Friday.")
            await server.booking.wait()
            first.interrupt()
            again = asyncio.ensure_future(reply_of(session, "Book Friday, I said."))
            asyncio.get_running_loop().call_soon(server.works.set)
            assert await again == "Booked."
        await tools.aclose()
    assert server.booked == ["Friday"]
    results = [m["content"] for m in models[0].requests[-1].messages if m["role"] == "tool"]
    assert "Booked for Friday." in results[0]
