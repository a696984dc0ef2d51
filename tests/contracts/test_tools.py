"""Every module in agent/tools gives tools that a model can call."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, llm

from agent import tools
from agent.budget import CallLimits
from agent.guard import CallGuard
from agent.phone.keys import CallerKeys
from agent.phone.transfer.transfers import Transfers
from agent.toolbox.documents import load_documents
from agent.toolbox.errors import ToolError
from agent.toolbox.livekit_form import for_livekit
from agent.toolbox.tool import DeclaredTool, Tool
from agent.tools.base import ToolContext
from llm_router import open_router
from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.integrations.livekit import RouterLLM
from llm_router.plugins import Plugins
from llm_router.testing import ManualClock
from llm_router.voice.messages import Message
from llm_router.voice.phone.setup import Person
from tests.contracts.livekit_asking import PHRASES, reply_of

SHOP = Path(__file__).parents[2] / "config" / "documents"


class Nowhere:
    """Takes no message."""

    async def take(self, message: Message) -> None:
        raise NotImplementedError


class Staff:
    """People to whom no caller is put through."""

    def people(self) -> Sequence[Person]:
        return [Person(name="Mara", number="100")]


GUARD = CallGuard(CallLimits(), PHRASES, "en")
EACH_MODULE = pytest.mark.parametrize("name", tools.TOOLS.names())


def made(*names: str) -> Sequence[Tool]:
    context = ToolContext(
        phrases=PHRASES,
        clock=ManualClock(),
        documents=load_documents(SHOP),
        messages=Nowhere(),
        transfers=cast("Transfers", Staff()),
        hang_up=lambda _: None,
        keys=CallerKeys(cast("AgentSession[None]", None), GUARD),  # nothing is asked for
    )
    return tools.load(names, context)


def in_calls(*names: str) -> list[llm.Tool | llm.Toolset]:
    return [for_livekit(tool) for tool in made(*names)]


def declared(name: str) -> DeclaredTool:
    """Makes the only tool of a module that needs nothing of LiveKit."""
    (tool,) = made(name)
    assert isinstance(tool, DeclaredTool)
    return tool


def schemas(*names: str) -> list[dict[str, Any]]:
    return [
        schema["function"]
        for schema in llm.ToolContext(in_calls(*names)).parse_function_tools("openai")
    ]


@EACH_MODULE
def test_a_module_gives_tools_with_a_name_and_a_description_for_the_model(name: str) -> None:
    assert schemas(name)
    for schema in schemas(name):
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", schema["name"])
        assert len(schema["description"]) > 20
        assert schema["parameters"]["type"] == "object"


@EACH_MODULE
def test_each_call_has_tools_of_its_own(name: str) -> None:
    one, other = made(name), made(name)
    assert not {*map(id, one)} & {*map(id, other)}


def test_all_tools_can_be_offered_together() -> None:
    every = made(*tools.TOOLS.names())
    assert len({tool.id for tool in every}) == len(every)


def test_an_unknown_tool_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(UnknownPluginError, match="end_call"):
        made("teleport")


def test_a_module_named_twice_is_made_once() -> None:
    assert len(made("time", "time")) == 1


def test_two_tools_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = Plugins[Any]("agent.tools", "tool", default=tools.TOOLS.load("time"), attribute="twin")
    monkeypatch.setattr(tools, "TOOLS", twins)
    with pytest.raises(ConfigurationError, match="another tool is called 'get_time'"):
        made("time", "end_call")


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Paris", "2023-11-14T23:13+0100 Tuesday"),
        ("UTC", "2023-11-14T22:13+0000 Tuesday"),
        ("Atlantis", "Atlantis is not the name of a time zone"),
        ("../../etc/passwd", "../../etc/passwd is not the name of a time zone"),
    ],
)
async def test_the_time_is_that_of_the_clock_in_the_zone_that_is_asked_for(
    zone: str, said: str
) -> None:
    get_time = declared("time")
    try:
        result = await get_time.run({"time_zone": zone})
    except ToolError as error:
        result = error.message
    assert result == said


async def test_the_shops_text_is_looked_up_and_cited() -> None:
    search_documents = declared("documents")
    said = await search_documents.run({"question": "What time do you open on Saturday?"})
    first, *_ = said.splitlines()
    assert first == (
        "On Saturday we open at nine in the morning and close at four in the afternoon."
        " [shop.md, Opening hours]"
    )
    assert "nothing" in await search_documents.run({"question": "xyzzy"})


def test_without_texts_there_is_no_tool_that_searches_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not tools.load(["documents"], ToolContext(documents=load_documents(tmp_path)))
    assert "has no text" in caplog.text
    assert not tools.load(["documents"], ToolContext(documents=load_documents(None)))


def test_a_call_begins_without_reading_the_texts(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "menu.md").write_text("Soup of the day: lentils.")
    documents = load_documents(tmp_path / "texts")
    (tmp_path / "texts").rename(tmp_path / "away")
    assert tools.load(["documents"], ToolContext(documents=documents))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What time do you open on Saturday?", "On Saturday we open at nine in the morning and"),
        ("Is there parking?", "There is free parking behind the building"),
        ("Who painted the ceiling?", "no language model"),
    ],
)
async def test_without_a_model_questions_are_answered_from_the_shops_text(
    question: str, answer: str
) -> None:
    responder = Connection(name="rules", provider="offline")
    agent = Agent(instructions="Be brief.", tools=in_calls("time", "documents", "end_call"))
    async with (
        open_router([responder]) as router,
        AgentSession[None](llm=RouterLLM(router, session_id="call")) as session,
    ):
        await session.start(agent)
        assert answer in await reply_of(session, question)
