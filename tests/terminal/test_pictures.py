"""The window as pictures, at both sizes. UPDATE_PICTURES=1 draws them anew; see each then.

pytest-textual-snapshot would do this, but it needs a pytest older than ours.
"""

import os
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Footer, Input, TextArea
from textual.widgets._footer import FooterKey

from llm_router.tui.app import ChatApp
from llm_router.tui.board import BoardView
from llm_router.tui.board_data import POINTS, Board, CallRow, EndpointRow
from llm_router.tui.conversation import HeldConversation, Message, Options
from llm_router.tui.picker import Choice, OptionsWindow, Picker
from tests.contracts.gateway import Gateway
from tests.terminal.opened import NARROW, WIDE, chatting, plain, until

PICTURES = Path(__file__).parent / "pictures"
SIZES = {"narrow": NARROW, "wide": WIDE}
MESSAGES = [
    Message("user", "When do you open on Saturday?"),
    Message("assistant", "We open at **nine**, and close at:\n\n- five in winter\n- seven in May",
            "desk · first word 0.21 s"),
    Message("user", "And [today]?"),
    Message("assistant", "Today we", "cellar · first word 0.94 s · 2 attempts",
            "the reply broke off; send the message again"),
]  # fmt: skip
BOARD = Board(
    endpoints=[
        EndpointRow(name="desk", model="qwen3-4b", status="active", is_active=True,
                    breaker="closed", in_flight=3, replies=1240, failed=2, p50=0.21, p95=0.42),
        EndpointRow(name="cellar", model="qwen3-4b", status="resting", is_active=True,
                    breaker="open", in_flight=0, replies=18, failed=9, p50=0.94, p95=1.8),
        EndpointRow(name="客服 spare with a long name", model="m", status="untested",
                    is_active=True),
        EndpointRow(name="old", model="m", status="deactivated", is_active=False),
    ],
    calls=[
        CallRow("0b1c2d3e4f", "phone", "agent", "front desk", 83, 12),
        CallRow("1b1c2d3e4f", "web", "handed_over", "", 4000, 240),
    ],
    more_calls=950,
    first_words=[0.2 + 0.15 * (n % 7) for n in range(POINTS)],
    replies=1258, failovers=9, resumes=3, silence_avoided=41.5,
)  # fmt: skip


async def prepared(app: ChatApp, screen: str) -> None:
    """Puts the application into a state that is the same at each run."""
    stop_blinking(app)
    app.workers.cancel_group(app, "board")
    conversation = HeldConversation(
        app._api, Options(model="auto", parameters={"temperature": 0.5})
    )
    conversation.title, conversation.messages = "When do you open on Saturday?", MESSAGES
    await app._change_to(conversation)
    app.query_one(BoardView).show(BOARD)
    if screen == "board":
        app.screen.add_class("-switched")
    elif screen == "models":
        choices = [Choice("auto", "auto", "the router"), Choice("desk", "desk", "a connection")]
        await app.push_screen(Picker("model", choices))
    elif screen == "options":
        await app.push_screen(OptionsWindow(Options(parameters={"temperature": 0.5})))
    stop_blinking(app)  # of the window's boxes


def stop_blinking(app: ChatApp) -> None:
    for box in (*app.screen.query(TextArea), *app.screen.query(Input)):
        box.cursor_blink = False


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", ["chat", "board", "models", "options"])
async def test_the_window_has_not_changed(
    gateway: Gateway, tmp_path: Path, screen: str, size: str
) -> None:
    await compare(gateway, tmp_path, screen, size, "patchbay")


@pytest.mark.parametrize("theme", ["patchbay-light", "dusk", "contrast", "terminal"])
async def test_the_colours_have_not_changed(gateway: Gateway, tmp_path: Path, theme: str) -> None:
    await compare(gateway, tmp_path, "chat", "wide", theme)


def keys_are_drawn(pilot: Pilot[None]) -> bool:
    """Says whether the line of keys, if any, has its place: Textual makes it anew at changes."""
    footers = list(pilot.app.screen.query(Footer))
    keys = [list(each.query(FooterKey)) for each in footers]
    return all(line and all(key.region for key in line) for line in keys)


async def compare(gateway: Gateway, tmp_path: Path, screen: str, size: str, theme: str) -> None:
    async with chatting(gateway, tmp_path, size=SIZES[size], theme=theme) as pilot:
        assert isinstance(pilot.app, ChatApp)
        await until(pilot, lambda: keys_are_drawn(pilot))  # a window before it would hide them
        await prepared(pilot.app, screen)
        await pilot.pause()
        await until(pilot, lambda: keys_are_drawn(pilot))
        drawn = plain(pilot.app.export_screenshot(simplify=True))
    name = f"{screen}-{size}" if theme == "patchbay" else theme
    picture = PICTURES / f"{name}.svg"
    if os.environ.get("UPDATE_PICTURES"):
        picture.write_text(drawn)
    changed = tmp_path / picture.name
    changed.write_text(drawn)
    assert drawn == picture.read_text(), f"see {changed}; UPDATE_PICTURES=1 takes it"
