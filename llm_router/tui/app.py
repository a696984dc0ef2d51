"""The terminal's application: a chat, and beside it the board."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from llm_router.api_client import ApiClient
from llm_router.clock import Clock, SystemClock
from llm_router.errors import RouterError
from llm_router.printable import printable
from llm_router.tui.board import BoardView
from llm_router.tui.board_data import BoardReader
from llm_router.tui.conversation import (
    LONGEST_MESSAGE,
    Conversation,
    Ending,
    HeldConversation,
    Message,
    Options,
    StoredConversation,
    Words,
)
from llm_router.tui.messages import MessageInput, MessageView
from llm_router.tui.picker import Choice, OptionsWindow, Picked, Picker
from llm_router.tui.themes import Colours, ThemeFiles

_READ_BOARD_EVERY = 2.0  # s
_READ_COLOURS_EVERY = 1.0  # s
_WIDE = 120
"""Columns from which the board stands beside the chat."""
_SHOWN = 50
"""Messages of a stored chat that are drawn: the last ones."""
_LISTED = 200
"""Stored chats that can be chosen: the latest ones."""
_KINDS = {
    "auto": "the router, over every connection",
    "connection": "this connection alone",
    "model": "every connection that has it",
    "pool": "a pool of connections",
}
"""The meaning of each kind of model of the gateway."""


class ChatApp(App[None]):
    """Chats over `api`. `is_stored`: whether the API stores the chats."""

    TITLE = "Patchbay"
    CSS_PATH = "chat.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  declared by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "clear", "Clear", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("escape", "cancel", "Cancel"),
        Binding("f2", "choose_model", "Model"),
        Binding("f3", "choose_chat", "Chats"),
        Binding("f4", "choose_options", "Options"),
        Binding("f5", "switch_board", "Board"),
    ]

    def __init__(
        self,
        api: ApiClient,
        colours: ThemeFiles,
        options: Options,
        *,
        is_stored: bool = True,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._api = api
        self._colours = colours
        self._clock = clock or SystemClock()
        self._board = BoardReader(api, self._clock)
        self._is_stored = is_stored
        self._drawn: Colours | None = None
        self._conversation = self._new_conversation(options)

    def compose(self) -> ComposeResult:
        with Horizontal(id="body"):
            with Vertical(id="chat"):
                yield VerticalScroll(id="messages")
                yield Static(id="status")
                yield MessageInput(placeholder="Enter sends, Ctrl+J begins a line", id="input")
            yield BoardView(id="board")
        yield Footer(show_command_palette=False)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Returns the colours that our styles name and Textual's own themes do not have."""
        return {"user": "#5fb3f7", "agent": "#7fd1ae", "system-line": "#67727f", "time": "#8a95a3"}

    async def on_mount(self) -> None:
        self._use_colours(self._colours.read())
        self.query_one("#messages").anchor()
        self.query_one(MessageInput).focus()
        self._show_chat()
        self._check_key()
        self._follow_board()
        self._follow_colours()

    # ── The chat ─────────────────────────────────────────────────────────────────────────────────

    @on(MessageInput.Sent)
    async def _send(self, event: MessageInput.Sent) -> None:
        text = event.text.strip()
        if not text:
            return
        if self._is_busy():
            self._note("a reply is being written; Esc ends it")
            return
        if len(text) > LONGEST_MESSAGE:
            self._note(f"a message has at most {LONGEST_MESSAGE:,} characters, not {len(text):,}")
            return
        self.query_one(MessageInput).clear()
        reply = MessageView(Message("assistant", ""))
        messages = self.query_one("#messages")
        await messages.mount(MessageView(Message("user", text)), reply)
        messages.anchor()
        self._answer(self._conversation, text, reply)

    @on(MessageInput.Refused)
    def _refuse_paste(self, event: MessageInput.Refused) -> None:
        self._note(
            f"the pasted text has {event.length:,} characters; a message has at most"
            f" {LONGEST_MESSAGE:,}, so nothing was pasted"
        )

    @work(group="reply")
    async def _answer(self, conversation: Conversation, text: str, view: MessageView) -> None:
        ending = Ending(problem="you have ended the reply")
        self._status("writing")
        try:
            async with aclosing(conversation.ask(text)) as reply:
                async for step in reply:
                    if isinstance(step, Words):
                        await view.write(step.text)
                    else:
                        ending = step
        except RouterError as error:
            ending = Ending(problem=str(error))
        finally:
            await view.end(ending)
            if conversation is self._conversation and self.is_running:
                self._show_chat()

    @work(group="reply", exclusive=True)
    async def _stop(self, conversation: Conversation) -> None:
        """Ends the reply here, as the only worker of its group, and at the API."""
        try:
            if await conversation.stop() and conversation is self._conversation:
                self._note("the reply is ended")
        except RouterError as error:
            self._note(str(error))

    def action_cancel(self) -> None:
        # Also where none is read here: a reply is written on after its connection broke.
        self._stop(self._conversation)

    async def action_clear(self) -> None:
        """Begins a new chat; the one before stays stored."""
        await self._change_to(self._new_conversation(self._conversation.options))

    async def _change_to(self, conversation: Conversation) -> None:
        if self._is_busy():
            self._stop(self._conversation)
        self._conversation = conversation
        messages = self.query_one("#messages")
        await messages.remove_children()
        shown = conversation.messages[-_SHOWN:]
        if left_out := len(conversation.messages) - len(shown):
            note = Content.styled(f"{left_out:,} earlier messages", "$system-line")
            await messages.mount(Static(note))
        await messages.mount_all(MessageView(message) for message in shown)
        messages.anchor()
        self._show_chat()
        self.query_one(MessageInput).focus()

    def _new_conversation(self, options: Options) -> Conversation:
        kind = StoredConversation if self._is_stored else HeldConversation
        return kind(self._api, options)

    def _is_busy(self) -> bool:
        return any(worker.group == "reply" and worker.is_running for worker in self.workers)

    # ── Windows ──────────────────────────────────────────────────────────────────────────────────

    @work(group="window", exclusive=True)
    async def action_choose_model(self) -> None:
        try:
            models = await self._api.list_chat_models()
        except RouterError as error:
            self._note(str(error))
            return
        choices = [Choice(each["id"], each["id"], _kind_of(each["owned_by"])) for each in models]
        if picked := await self.push_screen_wait(Picker("model", choices)):
            await self._set(replace(self._conversation.options, model=picked.value))

    @work(group="window", exclusive=True)
    async def action_choose_options(self) -> None:
        if chosen := await self.push_screen_wait(OptionsWindow(self._conversation.options)):
            await self._set(chosen)

    @work(group="window", exclusive=True)
    async def action_choose_chat(self) -> None:
        if not self._is_stored:
            self._note("chats are not stored: see --no-store, and the routes of the key")
            return
        try:
            page = await self._api.request("GET", "/chats", params={"limit": _LISTED})
            choices = [
                Choice(each["id"], each["title"] or "-", f"{each['updated_at'][:16]}")
                for each in page["items"]
            ]
            picked = await self.push_screen_wait(Picker("chats", choices, may_remove=True))
            if picked:
                await self._open_or_remove(picked)
        except RouterError as error:
            self._note(str(error))

    async def _open_or_remove(self, picked: Picked) -> None:
        if picked.is_removed:
            await self._api.request("DELETE", f"/chats/{picked.value}")
            if picked.value == self._conversation.id:
                await self.action_clear()
            self._note("the chat is removed")
        else:
            await self._change_to(await StoredConversation.open(self._api, picked.value))

    async def _set(self, options: Options) -> None:
        try:
            await self._conversation.change(options)
        except RouterError as error:
            self._note(str(error))
        self._show_chat()

    # ── The board, the colours, the lines of state ───────────────────────────────────────────────

    def action_switch_board(self) -> None:
        """Shows the board, or hides it where it stands beside the chat."""
        self.screen.toggle_class("-switched")
        # A field that was hidden has lost the keyboard.
        self.call_after_refresh(self.query_one(MessageInput).focus)
        self._follow_board()

    @work(group="board", exclusive=True)
    async def _follow_board(self) -> None:
        """Draws the board again and again while it is there."""
        view = self.query_one(BoardView)
        while True:
            if view.display:
                view.show(await self._board.read())
            await self._clock.sleep(_READ_BOARD_EVERY)

    @work(group="colours", exclusive=True)
    async def _follow_colours(self) -> None:
        while True:
            await self._clock.sleep(_READ_COLOURS_EVERY)
            colours = await asyncio.to_thread(self._colours.read)
            if colours != self._drawn:
                self._use_colours(colours)

    @work(group="key")
    async def _check_key(self) -> None:
        """Says at the start what is wrong with the address or the key."""
        try:
            me = await self._api.request("GET", "/me")
        except RouterError as error:
            self._note(str(error))
            return
        if self._is_stored and me["routes"] is not None and "chats" not in me["routes"]:
            self._is_stored = False
            await self._change_to(self._new_conversation(self._conversation.options))
            self._note("this key may not store chats: they are gone when you leave")

    def _use_colours(self, colours: Colours) -> None:
        # A theme whose name is the present one would not be drawn anew.
        name = re.sub(r"[^A-Za-z0-9_-]", "-", colours.theme.name)
        theme = replace(colours.theme, name=f"{name}-{len(self.available_themes)}")
        self.register_theme(theme)
        self.theme = theme.name
        self._drawn = colours
        if colours.note:
            self._note(colours.note)

    def _show_chat(self) -> None:
        options = self._conversation.options
        messages = self.query_one("#messages")
        # As content: a text would be read as markup.
        messages.border_title = Content(printable(self._conversation.title)[:60] or "chat")
        messages.border_subtitle = Content(printable(options.model)[:40])
        self._status(_summary(options))

    def _status(self, text: str) -> None:
        self.query_one("#status", Static).update(Content.styled(printable(text), "$time"))

    def _note(self, text: str) -> None:
        """Says something in the window until the next message is sent."""
        self.query_one("#status", Static).update(Content.styled(printable(text), "$warning"))


def _summary(options: Options) -> str:
    parts: Sequence[str] = [f"{name} {value}" for name, value in options.parameters.items()]
    return " · ".join([*(["system prompt"] if options.system_prompt else []), *parts]) or "ready"


def _kind_of(owner: str) -> str:
    kind = owner.removeprefix("patchbay:")
    return _KINDS.get(kind, kind)
