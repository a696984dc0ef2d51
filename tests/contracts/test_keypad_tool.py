"""A model asks a caller for keys: what it learns, what is said, and what stays secret."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import AgentSession, ConversationItemAddedEvent, FunctionToolsExecutedEvent, llm

from agent.assistant import Assistant
from agent.budget import CallLimits
from agent.call_items import said_item, tools_item
from agent.call_tools import CallTools
from agent.guard import CallGuard
from agent.phone.keys import CallerKeys
from agent.toolbox.effects import Effects
from agent.tools.base import ToolContext
from llm_router.net.guard import AddressGuard
from llm_router.routing.phrases import Phrases
from llm_router.testing.server import FaultyServer, Script
from llm_router.types import ToolCall
from llm_router.voice.calls import CallItem
from llm_router.voice.tools import HttpTool
from tests.contracts.byte_server import Answer, Asked, ByteServer, page
from tests.contracts.livekit_asking import opened, reply_of
from tests.contracts.voiced import ClickTTS, Mouth

PHRASES = Phrases({
    "en": {
        "keypad.confirm": ["I have {digits}. Press one or two."],
        "keypad.confirm_secret": ["I have your digits. Press one or two."],
    }
})  # fmt: skip
OPEN = AddressGuard(allowed=("localhost", "127.0.0.1"))
CALLER = SimpleNamespace(identity="sip", kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)


class PhoneCall:
    """A call whose model asks for tools one after the other, and whose caller presses keys."""

    def __init__(self, session: AgentSession[None], server: FaultyServer) -> None:
        self.session = session
        self.server = server
        self.room = rtc.EventEmitter[str]()
        self.items: list[CallItem | None] = []
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)

    @property
    def said(self) -> Sequence[str]:
        assert isinstance(self.session.tts, ClickTTS)
        return self.session.tts.said

    @property
    def history(self) -> str:
        """All that models, stores and logs may have of the conversation."""
        asked = [request.messages for request in self.server.requests]
        return f"{asked} {self.items} {self.session.history.to_dict()}"

    def press(self, keys: str) -> None:
        for key in keys:
            self.room.emit("sip_dtmf_received", SimpleNamespace(participant=CALLER, digit=key))

    async def press_after(self, sentence: str, keys: str) -> None:
        await self._hear(sentence)
        self.press(keys)

    async def speak_after(self, sentence: str, words: str) -> None:
        await self._hear(sentence)
        event = SimpleNamespace(transcript=words, is_final=True, language=None)
        self.session.emit("user_input_transcribed", cast("Any", event))

    async def _hear(self, sentence: str) -> None:
        while sentence not in self.said:
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)

    async def reply_to(self, *pressed: tuple[str, str]) -> str:
        """Presses keys after sentences, and returns what the model says."""
        async with asyncio.TaskGroup() as typing:
            for sentence, keys in pressed:
                typing.create_task(self.press_after(sentence, keys))
            return await reply_of(self.session)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage):
            self.items.append(said_item(event.item, None, 1))

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        self.items.append(tools_item(event, 1))


@asynccontextmanager
async def calling(
    *asked: tuple[str, dict[str, Any]], http: Sequence[HttpTool] = ()
) -> AsyncIterator[PhoneCall]:
    async with opened("http", Script()) as (model, servers):

        def script(number: int) -> Script:
            results = sum(m["role"] == "tool" for m in servers[0].requests[number].messages)
            if results >= len(asked):
                return Script(words=["Thank you."])
            name, arguments = asked[results]
            return Script(
                words=[], tool_calls=[ToolCall(f"c{results}", name, json.dumps(arguments))]
            )

        await servers[0].behave(script)
        guard = CallGuard(CallLimits(), PHRASES, "en")
        async with AgentSession[None](llm=model, tts=ClickTTS(), vad=None) as session:
            keys = CallerKeys(session, guard)
            context = ToolContext(phrases=PHRASES, effects=Effects("call"), keys=keys)
            tools = CallTools(context, ["keypad", "send_keys"], http, guard=OPEN)
            agent = Assistant(
                instructions="Be brief.",
                phrases=PHRASES,
                language="en",
                filler_after=3600,
                greeting="Hello.",
                tools=tools.tools,
                tool_phrases=tools.says,
            )
            session.output.audio = Mouth()
            call = PhoneCall(session, servers[0])
            keys.follow(cast("rtc.Room", call.room))
            await session.start(agent)
            try:
                yield call
            finally:
                await keys.aclose()
                await tools.aclose()


def digits(**arguments: Any) -> tuple[str, dict[str, Any]]:
    return "ask_for_digits", {"prompt": "Your number?", **arguments}


async def test_the_model_learns_the_number_that_was_typed() -> None:
    async with calling(digits(minimum=3, maximum=5)) as call:
        assert (await call.reply_to(("Your number?", "123#"))).endswith("Thank you.")
        assert "The caller typed: 123" in call.history


async def test_a_number_is_read_back_and_typed_again() -> None:
    async with calling(digits(minimum=2, maximum=2, confirm=True)) as call:
        await call.reply_to(("Your number?", "122341"))
        assert "The caller typed: 34" in call.history


async def test_a_number_is_read_back_digit_by_digit() -> None:
    async with calling(digits(minimum=2, maximum=2, confirm=True)) as call:
        await call.reply_to(("Your number?", "12"), ("I have 1, 2. Press one or two.", "1"))
        assert "The caller typed: 12" in call.history


@pytest.mark.parametrize(
    ("secret", "prompt", "known"),
    [
        (False, "I have 1, 2. Press one or two.", "The caller typed: 12"),
        (True, "I have your digits. Press one or two.", "secret-pin-1"),
    ],
)
async def test_a_number_that_is_confirmed_with_words_is_not_lost(
    prompt: str, known: str, *, secret: bool
) -> None:
    ask = digits(name="pin", minimum=2, maximum=2, secret=secret, confirm=True)
    async with calling(ask) as call:
        async with asyncio.TaskGroup() as talking:
            talking.create_task(call.press_after("Your number?", "12"))
            talking.create_task(call.speak_after(prompt, "Yes."))
            said = await reply_of(call.session)
        assert "Thank you." not in said  # the words have the only reply
        assert (await reply_of(call.session, "Yes.")).endswith("Thank you.")
        assert known in call.history


async def test_a_choice_is_named_and_a_wrong_key_asks_again() -> None:
    menu = "ask_to_choose", {"prompt": "1 for sales, 2 for help.", "choices": ["sales", "help"]}
    async with calling(menu) as call:
        await call.reply_to(("1 for sales, 2 for help.", "92"))
        assert "The caller chose 2: help" in call.history


async def test_a_secret_number_reaches_the_tool_that_needs_it_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(asked: Asked) -> Answer:
        return page("200 OK", f"no account {asked.body['pin']}".encode())

    async with ByteServer(answer) as server:
        lookup = HttpTool(
            name="look_up",
            description="Looks up an account by its PIN.",
            method="POST",
            url=f"{server.root}/accounts",
            parameters={"type": "object", "properties": {"pin": {"type": "string"}}},
        )
        use = "look_up", {"pin": "secret-pin-1"}
        ask = digits(name="PIN", minimum=4, maximum=4, secret=True, confirm=True)
        async with calling(ask, use, http=[lookup]) as call:
            confirmed = "I have your digits. Press one or two.", "1"
            said = await call.reply_to(("Your number?", "8642"), confirmed)
            assert said.endswith("Thank you.")
            [asked] = server.asked
            assert asked.body == {"pin": "8642"}
            assert "no account •" in call.history
            for place in (call.history, caplog.text, " ".join(call.said), repr(call.items)):
                assert "8642" not in place
                assert "8, 6, 4, 2" not in place


async def test_a_secret_that_died_with_its_agent_is_asked_for_again() -> None:
    lookup = HttpTool(
        name="look_up",
        description="Looks up an account by its PIN.",
        url="http://localhost:9/accounts",
        parameters={"type": "object", "properties": {"pin": {"type": "string"}}},
    )
    async with calling(("look_up", {"pin": "secret-pin-1"}), http=[lookup]) as call:
        await reply_of(call.session)
        assert "ask for it again" in call.history


async def test_a_caller_without_a_telephone_is_not_asked_for_keys() -> None:
    assert [*CallTools(ToolContext(), ["keypad", "send_keys"]).tools] == []
