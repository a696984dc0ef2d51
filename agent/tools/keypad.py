"""`keypad`: lets the model ask a caller by telephone for keys."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from livekit.agents import RunContext, StopResponse, function_tool
from livekit.agents.llm import ToolResult
from livekit.agents.voice import SpeechHandle
from pydantic import Field

from agent.phone.keypad import Ending, Entry, FieldRules
from agent.phone.keys import CallerKeys
from agent.toolbox.errors import ToolError
from agent.toolbox.tool import Tool
from agent.tools.base import ToolContext

_MOST = 32
_ONE_KEY = FieldRules(maximum=1, terminator="")
_TRIES = 3
"""Times that a caller may type a number before the model goes on without it."""
_CONFIRMED_WITH_WORDS = (
    "Asked whether that is right, the caller answered with the words that they said next."
)


def create(context: ToolContext) -> Sequence[Tool]:
    """Makes the tools in a call by telephone; other callers have no keys."""
    if (keys := context.keys) is None:
        return []
    questions = _Questions(context, keys)

    @function_tool
    async def ask_for_digits(
        run: RunContext[None],
        prompt: str,
        *,
        name: str = "number",
        minimum: Annotated[int, Field(ge=1, le=_MOST)] = 1,
        maximum: Annotated[int, Field(ge=1, le=_MOST)] = 20,
        secret: bool = False,
        confirm: bool = False,
    ) -> str | ToolResult:
        """Asks the caller to type a number on the telephone's keypad, and waits for it.

        Say nothing yourself before: this tool says the prompt. The hash key ends the number.

        Args:
            prompt: the sentence that asks for it, such as: Please type your customer number and
                then the hash key.
            name: one word for the number, such as pin
            minimum: fewest digits
            maximum: most digits
            secret: true for a PIN, a password or a card: you get a name in place of the digits, to
                give to the tool that needs them
            confirm: true to read the digits back and ask whether they are right
        """
        if minimum > maximum:
            raise ToolError("minimum is above maximum")
        rules = FieldRules(minimum=minimum, maximum=maximum)
        entry = await questions.number(run, prompt, rules, secret=secret, confirms=confirm)
        return _result(entry, rules, partial(context.secrets.put, name) if secret else None)

    @function_tool
    async def ask_to_choose(run: RunContext[None], prompt: str, choices: list[str]) -> str:
        """Lets the caller choose by a key of the telephone: 1 for the first choice, and so on.

        Say nothing yourself before: this tool says the prompt.

        Args:
            prompt: the sentence that names the keys, such as: Press 1 for sales, 2 for support.
            choices: one to nine choices in the order of their keys
        """
        if not 1 <= len(choices) <= len("123456789"):
            raise ToolError("give one to nine choices")
        return await questions.choice(run, prompt, choices)

    tools: list[Tool] = [ask_for_digits, ask_to_choose]
    for tool in tools:
        context.effects.only_reads(tool.id)
        context.waiting.add(tool.id)
    return tools


def _result(
    entry: Entry | None, rules: FieldRules, hide: Callable[[str], str] | None
) -> str | ToolResult:
    """Returns what the model learns of a number. `hide` names a secret one for other tools."""
    if entry is None:
        return "The caller did not confirm any number."
    if entry.ending is Ending.NOTHING:
        return "The caller typed nothing."
    if entry.ending is Ending.TOO_SHORT:
        return f"The caller typed only {len(entry.keys)} digits of at least {rules.minimum}."
    output = f"The caller typed: {entry.keys}"
    if hide:
        put = hide(entry.keys)
        output = f"The caller typed {len(entry.keys)} digits. Their name for other tools: {put}"
    if entry.ending is Ending.COMPLETE:
        return output
    # The words are a turn of their own, which is answered.
    return ToolResult(f"{output}\n{_CONFIRMED_WITH_WORDS}", reply_required=False)


class _Questions:
    """Asks the caller of one call."""

    def __init__(self, context: ToolContext, keys: CallerKeys) -> None:
        self._context = context
        self._keys = keys

    async def number(
        self,
        run: RunContext[None],
        prompt: str,
        rules: FieldRules,
        *,
        secret: bool,
        confirms: bool,
    ) -> Entry | None:
        """Returns a number; None: the caller has not confirmed what they typed.

        One that is read back and answered with words has these as its ending.
        """
        for _ in range(_TRIES):
            entry = await self._read(run, prompt, rules)
            if entry.ending is not Ending.COMPLETE or not confirms:
                return entry
            answer = await self._confirmation(run, entry.keys, secret=secret)
            if answer.ending is Ending.SPOKEN:
                return replace(entry, ending=Ending.SPOKEN)
            if answer.keys == "1":
                return entry
        return None

    async def choice(self, run: RunContext[None], prompt: str, choices: Sequence[str]) -> str:
        for _ in range(_TRIES):
            entry = await self._read(run, prompt, _ONE_KEY)
            if entry.ending is Ending.NOTHING:
                return "The caller pressed nothing."
            if entry.keys.isdigit() and 1 <= int(entry.keys) <= len(choices):
                return f"The caller chose {entry.keys}: {choices[int(entry.keys) - 1]}"
        return "The caller pressed only keys that stand for no choice."

    async def _confirmation(self, run: RunContext[None], typed: str, *, secret: bool) -> Entry:
        occasion = "keypad.confirm_secret" if secret else "keypad.confirm"
        phrase = self._context.phrases.pick(occasion, self._context.language, 0)
        said = phrase.replace("{digits}", ", ".join(typed))
        return await self._asked(run, said, _ONE_KEY)

    async def _read(self, run: RunContext[None], prompt: str, rules: FieldRules) -> Entry:
        entry = await self._asked(run, prompt, rules)
        if entry.ending is Ending.SPOKEN:
            raise StopResponse  # the words are a turn of their own
        return entry

    async def _asked(self, run: RunContext[None], prompt: str, rules: FieldRules) -> Entry:
        def say() -> SpeechHandle | None:
            return run.session.say(prompt) if prompt.strip() else None

        return await self._keys.read(rules, say)
