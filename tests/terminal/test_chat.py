"""The window of `llm-router chat`: what is typed is answered, stored and found again."""

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input, OptionList, Static, TextArea

from llm_router.testing.server import Fault, Script
from llm_router.tui.app import ChatApp
from llm_router.tui.board import BoardView
from llm_router.tui.picker import OptionsWindow, Picker, read_parameters
from tests.contracts.gateway import Gateway, one_server
from tests.terminal.opened import (
    WIDE,
    chatting,
    opened,
    problems,
    replied,
    replies,
    say,
    static,
    status,
    until,
)

HELLO = "Hello there, how can I help you?"


async def test_a_message_is_answered_word_by_word(gateway: Gateway, tmp_path: Path) -> None:
    async with one_server(gateway), chatting(gateway, tmp_path) as pilot:
        await say(pilot, "Hi")
        await replied(pilot)
        assert replies(pilot) == [HELLO]
        heads = [static(head) for head in pilot.app.query(".head").results(Static)]
        assert heads[0].startswith("you")
        assert heads[1].startswith("reply  desk · first word ")
        assert problems(pilot) == ""


async def test_chats_are_stored_and_opened_again(gateway: Gateway, tmp_path: Path) -> None:
    async with one_server(gateway), chatting(gateway, tmp_path) as pilot:
        await say(pilot, "When do you open?")
        await replied(pilot)
        await pilot.press("ctrl+l")
        assert replies(pilot) == []
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press(*"open", "enter")
        await until(pilot, lambda: replies(pilot) == [HELLO])
        await say(pilot, "And on Sunday?")
        await replied(pilot)
        assert len(replies(pilot)) == 2
    page = (await gateway.call("editor", "GET", "/chats")).json()
    assert [(chat["title"], chat["messages"]) for chat in page["items"]] == [
        ("When do you open?", 4)
    ]


async def test_a_new_chat_begins_where_the_open_one_is_removed(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with one_server(gateway), chatting(gateway, tmp_path) as pilot:
        await say(pilot, "Hi")
        await replied(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press("ctrl+d", "ctrl+d")
        await until(pilot, lambda: "removed" in status(pilot))
        assert replies(pilot) == []
        await say(pilot, "Again")
        await replied(pilot)
        assert (replies(pilot), problems(pilot)) == ([HELLO], "")


async def test_escape_ends_a_reply_that_is_written_for_another_window(
    gateway: Gateway, tmp_path: Path
) -> None:
    script = Script(fault=Fault.STALL_AFTER)
    async with one_server(gateway, script) as server, chatting(gateway, tmp_path) as first:
        await say(first, "Hi")
        await until(first, lambda: replies(first) == ["Hello there,"])
        async with chatting(gateway, tmp_path) as second:
            await second.press("f3")
            await until(second, lambda: isinstance(second.app.screen, Picker))
            await second.press("enter")
            await until(second, lambda: len(replies(second)) == 1)
            await second.press("escape")
            await server.disconnected(0)
            await replied(second)
            assert "the reply is ended" in status(second)
            await server.behave(Script())
            await say(second, "Again")
            await replied(second)
            assert replies(second)[-1] == HELLO


async def test_stop_sequences_that_are_not_changed_stay_as_they_are(
    gateway: Gateway, tmp_path: Path
) -> None:
    stop = ["\n\nUser:", "a, b", 'say "no"']
    body = {"title": "old", "parameters": {"stop": stop}}
    chat = (await gateway.call("editor", "POST", "/chats", body)).json()
    async with chatting(gateway, tmp_path) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press("enter")
        await until(pilot, lambda: "old" in str(pilot.app.query_one("#messages").border_title))
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(pilot.app.screen, OptionsWindow))
        window = pilot.app.screen
        window.query_one("#stop", Input).value += ","
        window.query_one("#seed", Input).focus()
        await pilot.press("enter")
        assert "double quotes" in str(window.query_one(".problem").render())
        window.query_one("#stop", Input).value += ' "END"'
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, OptionsWindow))
        await until(pilot, lambda: "END" in status(pilot))
    stored = (await gateway.call("editor", "GET", f"/chats/{chat['id']}")).json()
    assert stored["parameters"]["stop"] == [*stop, "END"]


def test_stop_sequences_may_be_words_with_commas() -> None:
    assert read_parameters({"stop": "END, User:,"}) == {"stop": ["END", "User:"]}


async def test_a_chat_is_removed_after_a_second_press(gateway: Gateway, tmp_path: Path) -> None:
    await gateway.call("editor", "POST", "/chats", {"title": "old"})
    async with chatting(gateway, tmp_path) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        await pilot.press("ctrl+d", "ctrl+d")
        await until(pilot, lambda: "removed" in status(pilot))
    assert (await gateway.call("editor", "GET", "/chats")).json()["total"] == 0


async def test_without_store_nothing_is_stored_and_earlier_turns_are_sent(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with (
        one_server(gateway) as server,
        chatting(gateway, tmp_path, is_stored=False) as pilot,
    ):
        for text in ("Hi", "And?"):
            await say(pilot, text)
            await replied(pilot)
        sent = [message["content"] for message in server.requests[1].messages]
        assert sent == ["Hi", HELLO, "And?"]
        assert static(list(pilot.app.query(".head").results(Static))[-1]).startswith("reply  desk")
    assert (await gateway.call("editor", "GET", "/chats")).json()["total"] == 0


async def test_a_model_and_parameters_are_chosen(gateway: Gateway, tmp_path: Path) -> None:
    async with one_server(gateway) as server, chatting(gateway, tmp_path) as pilot:
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(pilot.app.screen, Picker))
        assert pilot.app.screen.query_one(OptionList).option_count >= 3
        await pilot.press(*"this connection alone", "enter")
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(pilot.app.screen, OptionsWindow))
        window = pilot.app.screen
        window.query_one("#prompt", TextArea).text = "Be brief."
        window.query_one("#temperature", Input).value = "3"
        window.query_one("#max_tokens", Input).focus()
        await pilot.press("enter")
        problem = window.query_one(".problem")
        assert "temperature is a number from 0 to 2" in str(problem.render())
        window.query_one("#temperature", Input).value = "0.5"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, OptionsWindow))
        assert str(pilot.app.query_one("#messages").border_subtitle) == "desk"
        await say(pilot, "Hi")
        await replied(pilot)
        request = server.requests[0]
        assert request.messages[0] == {"role": "system", "content": "Be brief."}
        assert request.body["temperature"] == 0.5


@pytest.mark.parametrize("is_stored", [True, False])
async def test_escape_ends_a_reply_and_the_next_message_is_answered(
    gateway: Gateway, tmp_path: Path, *, is_stored: bool
) -> None:
    script = Script(fault=Fault.STALL_AFTER)
    async with (
        one_server(gateway, script) as server,
        chatting(gateway, tmp_path, is_stored=is_stored) as pilot,
    ):
        await say(pilot, "Hi")
        await until(pilot, lambda: replies(pilot) == ["Hello there,"])
        await say(pilot, "not yet")
        assert "Esc ends it" in status(pilot)
        await pilot.press("escape")
        await server.disconnected(0)
        await replied(pilot)
        assert "you have ended the reply" in problems(pilot)
        await server.behave(Script())
        await say(pilot, "Again")
        await replied(pilot)
        assert replies(pilot)[-1] == HELLO


async def test_a_stream_that_breaks_off_says_so_below_its_words(
    gateway: Gateway, tmp_path: Path
) -> None:
    script = Script(fault=Fault.RESET_AFTER)
    async with one_server(gateway, script), chatting(gateway, tmp_path) as pilot:
        await say(pilot, "Hi")
        await replied(pilot)
        assert replies(pilot)[0].startswith("Hello there,")
        assert "broke" in problems(pilot)
        assert pilot.app.is_running


@pytest.mark.parametrize("is_stored", [True, False])
async def test_without_a_connection_the_window_says_what_to_do(
    gateway: Gateway, tmp_path: Path, *, is_stored: bool
) -> None:
    async with chatting(gateway, tmp_path, is_stored=is_stored) as pilot:
        await say(pilot, "Hi")
        await replied(pilot)
        assert problems(pilot) != ""


async def test_a_wrong_key_is_named(gateway: Gateway, tmp_path: Path) -> None:
    async with chatting(gateway, tmp_path, who="pb_wrong", size=WIDE) as pilot:
        await until(pilot, lambda: "PATCHBAY_API_KEY" in status(pilot))
        await say(pilot, "Hi")
        await replied(pilot)
        assert "the API key is missing or not valid there" in problems(pilot)
        totals = pilot.app.query_one(BoardView).query_one("#totals")
        await until(pilot, lambda: "not valid" in str(totals.render()))


async def test_a_dead_server_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path, url="http://127.0.0.1:9", size=WIDE) as pilot:
        await until(pilot, lambda: "does not answer" in status(pilot))
        for is_stored in (False, True):
            assert isinstance(pilot.app, ChatApp)
            pilot.app._is_stored = is_stored
            await pilot.press("ctrl+l")
            await say(pilot, "Hi")
            await replied(pilot)
            assert "does not answer (ConnectError)" in problems(pilot)
        for key in ("f2", "f3"):
            await pilot.press(key)
            await until(pilot, lambda: "does not answer" in status(pilot))


@pytest.mark.parametrize("is_stored", [True, False])
async def test_a_server_of_another_kind_is_named(tmp_path: Path, *, is_stored: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\ndata: {no}\n\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        opened(tmp_path, url=f"http://127.0.0.1:{port}", size=WIDE, is_stored=is_stored) as pilot,
    ):
        await say(pilot, "Hi")
        await replied(pilot)
        assert "correct the address" in problems(pilot)
        assert pilot.app.is_running


@pytest.mark.parametrize("key", ["", "f2", "f4", "f5"])
async def test_a_window_of_any_size_is_drawn(gateway: Gateway, tmp_path: Path, key: str) -> None:
    async with one_server(gateway), chatting(gateway, tmp_path, size=(20, 5)) as pilot:
        await say(pilot, "Hi")
        await replied(pilot)
        if key:
            await pilot.press(key)
        for width, height in ((20, 5), (3, 2), (1, 1), (300, 4), (2, 90), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            pilot.app.export_screenshot()
        assert pilot.app.is_running
        assert replies(pilot) == [HELLO] if not key else True


async def test_a_pasted_megabyte_is_refused_and_a_long_message_taken(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with one_server(gateway) as server, chatting(gateway, tmp_path) as pilot:
        box = pilot.app.query_one("#input", TextArea)
        pilot.app.post_message(events.Paste("x" * 2**20))
        await until(pilot, lambda: "1,048,576 characters" in status(pilot))
        assert box.text == ""
        pilot.app.post_message(events.Paste("word " * 10_000))
        await until(pilot, lambda: len(box.text) == 50_000)
        await pilot.press("enter")
        await pilot.pause()
        await replied(pilot)
        assert len(server.requests[0].messages[-1]["content"]) == 49_999
        assert replies(pilot) == [HELLO]


async def test_nothing_that_a_model_says_steers_the_terminal(
    gateway: Gateway, tmp_path: Path
) -> None:
    script = Script(words=["a \x1b[2J\x1b]0;title\x07 b [bold]c[/bold]"])
    async with one_server(gateway, script), chatting(gateway, tmp_path) as pilot:
        await say(pilot, "\x1b[31mHi [red]there[/red]")
        await replied(pilot)
        assert "\x1b" not in replies(pilot)[0]
        assert "[bold]c[/bold]" in replies(pilot)[0]
        shown = pilot.app.export_screenshot()
        assert "\x1b" not in shown


async def test_a_key_that_may_not_store_chats_is_answered_all_the_same(
    gateway: Gateway, tmp_path: Path
) -> None:
    body = {"name": "kiosk", "role": "operator", "team": "red", "routes": ["chat"]}
    gateway.keys["kiosk"] = (await gateway.call("admin", "POST", "/keys", body)).json()["key"]
    async with (
        one_server(gateway, visibility="everyone"),
        chatting(gateway, tmp_path, who="kiosk") as pilot,
    ):
        await until(pilot, lambda: "may not store chats" in status(pilot))
        await say(pilot, "Hi")
        await replied(pilot)
        assert replies(pilot) == [HELLO]


async def test_the_board_shows_endpoints_replies_and_calls(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with (
        one_server(gateway, visibility="everyone"),
        chatting(gateway, tmp_path, who="admin", size=WIDE) as pilot,
    ):
        await say(pilot, "Hi")
        await replied(pilot)
        lines = pilot.app.query_one("#endpoint-lines")
        await until(pilot, lambda: "desk" in str(lines.render()))
        assert "no call" in str(pilot.app.query_one("#call-lines").render())
        await pilot.press("f5")
        assert not pilot.app.query_one(BoardView).display


async def test_the_board_is_for_every_key_but_calls_are_for_admins(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with chatting(gateway, tmp_path, who="viewer") as pilot:
        assert not pilot.app.query_one(BoardView).display
        await pilot.press("f5")
        assert pilot.app.query_one(BoardView).display
        lines = pilot.app.query_one("#call-lines")
        await until(pilot, lambda: "for admins" in str(lines.render()))


async def test_after_the_board_the_keyboard_writes_a_message_again(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with chatting(gateway, tmp_path, who="viewer") as pilot:
        for _ in range(2):
            await pilot.press("f5")
            await pilot.pause()
        await pilot.press("h", "i")
        assert pilot.app.query_one("#input", TextArea).text == "hi"


async def test_ctrl_l_in_the_middle_of_a_reply_begins_anew(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with (
        one_server(gateway, Script(fault=Fault.STALL_AFTER)) as server,
        chatting(gateway, tmp_path) as pilot,
    ):
        await say(pilot, "Hi")
        await until(pilot, lambda: replies(pilot) == ["Hello there,"])
        await pilot.press("ctrl+l")
        await server.disconnected(0)
        await replied(pilot)
        assert replies(pilot) == []
        await server.behave(Script())
        await say(pilot, "Again")
        await replied(pilot)
        assert replies(pilot) == [HELLO]
    page = (await gateway.call("editor", "GET", "/chats")).json()
    assert [chat["title"] for chat in page["items"]] == ["Again", "Hi"]


async def test_ctrl_q_quits_in_the_middle_of_a_reply(gateway: Gateway, tmp_path: Path) -> None:
    script = Script(fault=Fault.STALL_AFTER)
    async with one_server(gateway, script) as server:
        async with chatting(gateway, tmp_path) as pilot:
            await say(pilot, "Hi")
            await until(pilot, lambda: replies(pilot) == ["Hello there,"])
            await pilot.press("ctrl+q")
        assert pilot.app.return_code == 0
        assert server.requests


async def test_a_theme_is_followed_while_its_file_changes(gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "btop" / "themes"
    folder.mkdir(parents=True)
    theme = folder / "mine.theme"
    theme.write_text('theme[main_bg]="#101010"\ntheme[hi_fg]="#ff0000"\n')
    async with chatting(gateway, tmp_path, theme="mine") as pilot:
        assert pilot.app.current_theme.primary == "#ff0000"
        theme.write_text('theme[main_bg]="#101010"\ntheme[hi_fg]="#00ff00"\n')
        await until(pilot, lambda: pilot.app.current_theme.primary == "#00ff00")
        theme.unlink()
        await until(pilot, lambda: "there is no theme 'mine'" in status(pilot))
