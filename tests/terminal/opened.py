"""Opens the terminal's application over the API of this process, for its tests."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from textual.pilot import Pilot
from textual.widgets import Markdown, Static, TextArea

from llm_router.api_client import ApiClient
from llm_router.cli.asgi_transport import StreamingASGITransport
from llm_router.tui.app import ChatApp
from llm_router.tui.conversation import Options
from llm_router.tui.messages import MessageView
from llm_router.tui.themes import ThemeFiles
from tests.contracts.gateway import Gateway

NARROW, WIDE = (80, 24), (120, 40)


@asynccontextmanager
async def chatting(
    gateway: Gateway,
    home: Path,
    *,
    who: str = "editor",
    size: tuple[int, int] = NARROW,
    theme: str = "patchbay",
    is_stored: bool = True,
) -> AsyncIterator[Pilot[None]]:
    """Runs the application with the key of `who`; its chats are in `gateway`."""
    transport = StreamingASGITransport(gateway.app)
    key = gateway.keys.get(who, who)
    async with opened(
        home, key, transport=transport, size=size, theme=theme, is_stored=is_stored
    ) as pilot:
        yield pilot


@asynccontextmanager
async def opened(
    home: Path,
    key: str = "",
    *,
    url: str = "http://patchbay.test",
    transport: httpx2.AsyncBaseTransport | None = None,
    size: tuple[int, int] = NARROW,
    theme: str = "patchbay",
    is_stored: bool = True,
) -> AsyncIterator[Pilot[None]]:
    """Runs the application over the API at `url`, or behind `transport`."""
    colours = ThemeFiles({"HOME": str(home)}, theme)
    async with ApiClient(url, key, transport=transport) as api:
        app = ChatApp(api, colours, Options(), is_stored=is_stored)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield pilot


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Lets the application work until the condition is true; the test's time limit is the end."""
    while not condition():
        await pilot.pause()


async def say(pilot: Pilot[None], text: str) -> None:
    """Types a message and sends it."""
    pilot.app.query_one("#input", TextArea).text = text
    await pilot.press("enter")
    await pilot.pause()


async def replied(pilot: Pilot[None]) -> None:
    """Waits for the end of the reply that is being written."""
    await until(pilot, lambda: not any(each.group == "reply" for each in pilot.app.workers))
    await pilot.pause()


def replies(pilot: Pilot[None]) -> list[str]:
    """Returns the text of each of the model's messages."""
    return [view.query_one(Markdown).source for view in pilot.app.query("MessageView.assistant")]


def problems(pilot: Pilot[None]) -> str:
    """Returns the problem of the last message."""
    return static(list(pilot.app.query(MessageView))[-1].query_one(".problem", Static))


def status(pilot: Pilot[None]) -> str:
    return static(pilot.app.query_one("#status", Static))


def static(widget: Static) -> str:
    return str(widget.render())


def plain(svg: str) -> str:
    """Returns a picture without what differs from run to run, and without its fonts."""
    svg = re.sub(r"\bterminal-\d+-", "terminal-", svg)
    return re.sub(r"@font-face \{.*?\}\n?\s*", "", svg, flags=re.DOTALL)
