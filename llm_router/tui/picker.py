"""Windows that ask: which of a list, and with which options."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from llm_router.printable import printable
from llm_router.tui.conversation import LONGEST_MESSAGE, Options

_RANGES: Mapping[str, tuple[type[float] | type[int], float, float]] = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "max_tokens": (int, 1, 10_000_000),
    "seed": (int, -(2**63), 2**63 - 1),
}
"""Kind, lowest and highest value of each parameter that is a number."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An entry of a list; `value` is what it stands for."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Picked:
    value: str
    is_removed: bool = False


class Picker(ModalScreen[Picked | None]):
    """Asks for one of some choices; what is typed narrows them. Escape chooses none.

    `may_remove`: Ctrl+D, pressed twice, removes an entry instead.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)", "Cancel"),
        ("down", "move(1)"),
        ("up", "move(-1)"),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], *, may_remove: bool = False) -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._may_remove = may_remove
        self._to_remove = ""
        if may_remove:
            self._bindings.bind("ctrl+d", "remove", "Remove", priority=True)

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as window:
            window.border_title = self._title
            window.border_subtitle = "Ctrl+D removes" if self._may_remove else ""
            yield Input(placeholder="type to narrow", compact=True)
            yield OptionList()
            yield Static(classes="problem")

    def on_mount(self) -> None:
        self._narrow("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        if (option := self.query_one(OptionList).highlighted_option) and option.id:
            self._pick(option.id)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._pick(str(event.option_id))

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        (options.action_cursor_down if by > 0 else options.action_cursor_up)()

    def action_remove(self) -> None:
        option = self.query_one(OptionList).highlighted_option
        if option is None or not option.id:
            return
        if self._to_remove != option.id:
            self._to_remove = option.id
            self.query_one(".problem", Static).update("Ctrl+D once more removes it for good")
            return
        self.dismiss(Picked(self._choices[int(option.id)].value, is_removed=True))

    def _pick(self, option_id: str) -> None:
        self.dismiss(Picked(self._choices[int(option_id)].value))

    def _narrow(self, text: str) -> None:
        words = text.casefold().split()
        shown = self.query_one(OptionList)
        shown.clear_options()
        for number, choice in enumerate(self._choices):
            line = f"{choice.label} {choice.detail}"
            if all(word in line.casefold() for word in words):
                prompt = Content.assemble(
                    (printable(choice.label), "$foreground"),
                    (f"  {printable(choice.detail)}", "$time"),
                )
                shown.add_option(Option(prompt, id=str(number)))
        if shown.option_count:
            shown.highlighted = 0


class OptionsWindow(ModalScreen[Options | None]):
    """Asks for the system prompt and the parameters. Empty ones are the connection's own."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Cancel")]

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options

    def compose(self) -> ComposeResult:
        given = self._options.parameters
        with Vertical(classes="window") as window:
            window.border_title = "options"
            yield Label("system prompt")
            yield TextArea(self._options.system_prompt, id="prompt", compact=True)
            for name in _RANGES:
                yield from _field(name, str(given.get(name, "")))
            yield from _field("stop", _shown_stop(given.get("stop", ())))
            yield Static(classes="problem")
            yield Button("Use them", variant="primary", compact=True)

    @on(Button.Pressed)
    @on(Input.Submitted)
    def _use(self) -> None:
        fields = {name: self.query_one(f"#{name}", Input).value for name in (*_RANGES, "stop")}
        prompt = self.query_one("#prompt", TextArea).text
        if len(prompt) > LONGEST_MESSAGE:
            self._refuse(f"the system prompt has more than {LONGEST_MESSAGE:,} characters")
            return
        try:
            parameters = read_parameters(fields)
        except ValueError as error:
            self._refuse(str(error))
            return
        self.dismiss(replace(self._options, system_prompt=prompt, parameters=parameters))

    def _refuse(self, why: str) -> None:
        self.query_one(".problem", Static).update(Content.styled(why, "$error"))


def read_parameters(fields: Mapping[str, str]) -> dict[str, Any]:
    """Returns the parameters that were typed. Raises ValueError, which names the field."""
    parameters: dict[str, Any] = {}
    for name, (kind, lowest, highest) in _RANGES.items():
        text = fields.get(name, "").strip()
        if not text:
            continue
        try:
            value = kind(text)
        except ValueError:
            value = highest + 1
        if not lowest <= value <= highest:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} is {what} from {lowest:g} to {highest:g}")
        parameters[name] = value
    if stop := _read_stop(fields.get("stop", "").strip()):
        parameters["stop"] = stop
    return parameters


def _shown_stop(stop: Sequence[str]) -> str:
    return ", ".join(json.dumps(each, ensure_ascii=False) for each in stop)


def _read_stop(text: str) -> list[str]:
    """Reads words with commas between them, or any texts in double quotes, as JSON has them."""
    if not text.startswith('"'):
        return [each.strip() for each in text.split(",") if each.strip()]
    try:
        stop = json.loads(f"[{text}]")
    except ValueError:
        stop = [None]
    if not all(isinstance(each, str) for each in stop):
        raise ValueError('stop is words, or texts in double quotes: END, or "\\n", "a, b"')
    return [each for each in stop if each]


def _field(name: str, value: str) -> ComposeResult:
    with Horizontal(classes="field"):
        yield Label(name)
        yield Input(value, id=name, compact=True)
