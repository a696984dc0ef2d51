"""The tools of conversations in writing: what is noted before they run, and what follows them."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.text.conversations import Message
from agent.visitor_gate import Visitor as LetIn
from llm_router.store.database import Database
from llm_router.testing import ScriptedProvider, Step
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import Chunk, ToolCall
from tests.contracts.byte_server import Answer, Asked, ByteServer, page
from tests.contracts.test_text_talks import stored
from tests.contracts.texting import texting

SILENCE = [Step(chunk=Chunk(finish_reason="stop"))]
LOCAL = {"allowed_addresses": ("localhost", "127.0.0.1")}


def may_book(folder: Path, shop: ByteServer) -> None:
    """Gives the assistant a tool that changes something."""
    (folder / "assistants.toml").write_text(
        '[default]\n[[default.http_tools]]\nname = "book_table"\ndescription = "Books it."\n'
        f'method = "POST"\nurl = "{shop.root}/book"\n'
        'parameters = {type = "object", properties = {day = {type = "string"}}}\n'
    )


async def test_tools_of_one_step_are_all_noted_before_they_run_though_their_ids_are_the_same(
    database: Database, tmp_path: Path
) -> None:
    def answering(_: Asked) -> Answer:
        if len(shop.asked) == len(days):
            both_run.set()
        return "silence"

    both_run = asyncio.Event()
    days = ["Friday", "Sunday"]
    calls = [ToolCall("call_0", "book_table", json.dumps({"day": day})) for day in days]
    provider = ScriptedProvider([[Step(chunk=Chunk(tool_calls=tuple(calls)))], SILENCE])
    async with texting(database, tmp_path, provider=provider, settings=LOCAL) as served:
        visitor = await served.visiting()
        talk = served.talk(visitor)
        async with ByteServer(answering) as shop:
            may_book(tmp_path, shop)
            await served.conversations.ask(talk, LetIn("1.2.3.4", None), Message("m-1", "Book."))
            await both_run.wait()
            call = await served.calls.going_on(talk.room)
    assert call
    noted = [json.loads(each["arguments"])["day"] for each in call.tools_in_flight]
    assert noted == days


CLOCK = [Step(chunk=Chunk(tool_calls=(ToolCall("call_1", "get_time", "{}"),)))]
AFTER_WORDS = [Step(chunk=Chunk(text="One moment.")), *CLOCK]


@pytest.mark.parametrize(
    ("steps", "tools"),
    [([CLOCK], 3), ([AFTER_WORDS, CLOCK], 3), ([CLOCK, SILENCE], 1)],
    ids=["tools alone", "words, then tools alone", "a tool, then silence"],
)
async def test_a_model_that_does_nothing_but_call_tools_leaves_no_silence(
    database: Database, tmp_path: Path, steps: Sequence[Sequence[Step]], tools: int
) -> None:
    provider = ScriptedProvider(steps)
    async with texting(database, tmp_path, provider=provider) as served:
        visitor = await served.visiting()
        sorry = await visitor.reply_to("What time is it?")
        assert "afraid" in sorry or "sorry" in sorry
        assert visitor.seen[-1].data == {"state": "text"}
        ran = [item for item in await stored(served, visitor) if item.role == "tool"]
        assert len(ran) == tools
    assert provider.requests[-1].tool_choice == ("none" if tools > 1 else None)


async def test_a_tool_that_changes_something_runs_once(database: Database, tmp_path: Path) -> None:
    def answering(_: Asked) -> Answer:
        return page("200 OK", b'{"booked": true}', "content-type: application/json")

    calls = [ToolCall(f"call_{n}", "book_table", '{"day": "Friday"}') for n in range(2)]

    def script(number: int) -> Script:
        asked = model.requests[number].messages[-1]["role"] == "user"
        return Script(words=[], tool_calls=calls) if asked else Script(words=["It is booked."])

    async with ByteServer(answering) as shop, FaultyServer() as model:
        await model.behave(script)
        may_book(tmp_path, shop)
        async with texting(database, tmp_path, model=model, settings=LOCAL) as served:
            visitor = await served.visiting()
            assert await visitor.reply_to("Book a table.") == "It is booked."
            assert await visitor.reply_to("Book a table.") == "It is booked."
        results = [m["content"] for m in model.requests[-1].messages if m["role"] == "tool"]
    assert len(shop.asked) == 1
    assert sum("not repeated" in result for result in results) == 3
    assert [event.data["role"] for event in visitor.seen if event.name == "item"] == [
        "assistant", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
