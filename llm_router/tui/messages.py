"""Draws the messages of a chat, and takes the next one."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message as Event
from textual.widgets import Markdown, Static, TextArea
from textual.widgets.markdown import MarkdownStream

from llm_router.printable import printable
from llm_router.tui.conversation import LONGEST_MESSAGE, Ending, Message

_LINES = "\n\t"
"""Characters of a message besides the printable ones."""


class MessageView(Vertical):
    """A message. One of the model's is written piece by piece, then ended."""

    def __init__(self, message: Message) -> None:
        super().__init__(classes=message.role)
        self._message = message
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        yield Static(self._head(self._message.route), classes="head")
        text = printable(self._message.text, keep=_LINES)
        if self._message.role == "user":
            yield Static(Content(text), classes="text")
        else:
            yield Markdown(text, open_links=False)
        yield Static(classes="problem")

    def on_mount(self) -> None:
        self._show_problem(self._message.problem)

    async def write(self, words: str) -> None:
        """Appends words of a reply."""
        if self._stream is None:
            self._stream = Markdown.get_stream(self.query_one(Markdown))
        await self._stream.write(printable(words, keep=_LINES))

    async def end(self, ending: Ending) -> None:
        """Draws the last words, the way that the reply took, and its problem."""
        if self._stream is not None:
            await self._stream.stop()
        if not self.is_attached:  # another chat is shown
            return
        self.query_one(".head", Static).update(self._head(ending.route))
        self._show_problem(ending.problem)

    def _show_problem(self, text: str) -> None:
        line = self.query_one(".problem", Static)
        line.update(Content.styled(printable(text), "$error"))
        line.display = bool(text)

    def _head(self, route: str) -> Content:
        who, style = ("you", "$user") if self._message.role == "user" else ("reply", "$agent")
        return Content.assemble((who, f"bold {style}"), (f"  {printable(route)}", "$time"))


class MessageInput(TextArea):
    """Takes a message: Enter sends it, Ctrl+J begins a line."""

    class Sent(Event):
        """The user sends `text`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Refused(Event):
        """A pasted text is too long, with `length` characters."""

        def __init__(self, length: int) -> None:
            super().__init__()
            self.length = length

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Sent(self.text))
        elif event.key in {"ctrl+j", "shift+enter", "alt+enter"}:
            event.stop()
            event.prevent_default()
            self.insert("\n")

    async def _on_paste(self, event: events.Paste) -> None:
        length = len(self.text) + len(event.text)
        if length > LONGEST_MESSAGE:
            event.stop()
            event.prevent_default()
            self.post_message(self.Refused(len(event.text)))
