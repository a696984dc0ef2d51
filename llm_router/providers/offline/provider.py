"""A provider with no model: a few dozen rules that can always answer.

It is the last in line when every server is down, and the first voice of a fresh installation. It
knows the time, the date, sums and small talk, and says plainly what it cannot know.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.net.guard import AddressGuard
from llm_router.providers.offline.rules import Language, Rule, language, tool_names
from llm_router.types import ChatRequest, Chunk, Message, ToolCall, Usage

_WORD = re.compile(r"\s*\S+")
_LONGEST_TURN = 1000
"""Characters of what was heard; the end of it counts."""
_LONGEST_QUOTE = 12
_WORDS_OF_A_SENTENCE = 3
_LENGTH_OF_A_DATE = len("2026-01-31")


def _wall_clock() -> datetime:
    return datetime.now(UTC).astimezone()


def create(
    connection: Connection,  # noqa: ARG001  every provider's signature; nothing is asked here,
    clock: Clock,  # noqa: ARG001  awaited
    guard: AddressGuard | None = None,  # noqa: ARG001  or dialled
) -> "OfflineProvider":
    return OfflineProvider()


class OfflineProvider:
    """Answers by rule, at once; the same conversation always gets the same answers.

    `now` gives the local time that is told to callers.
    """

    continuation: Continuation = "trailing"
    last_resort = True

    def __init__(self, now: Callable[[], datetime] = _wall_clock) -> None:
        self._now = now

    async def warm(self) -> None:
        language("en")  # reads the table, so that no caller waits for it

    async def probe(self) -> None: ...

    async def models(self) -> Sequence[str]:
        return ("offline",)

    async def aclose(self) -> None: ...

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        turn = _Turn(request, self._now())
        prompt = sum(len(_text(message).split()) for message in request.messages)
        call = turn.tool_call()
        if call:
            yield Chunk(tool_calls=(call,))
        text = "" if call else turn.words()
        for word in _WORD.findall(text):
            yield Chunk(text=word)
        yield Chunk(
            finish_reason="tool_calls" if call else "stop",
            usage=Usage(prompt_tokens=prompt, completion_tokens=len(text.split())),
        )


class _Turn:
    """One request, read: who said what last, and the answer to it."""

    def __init__(self, request: ChatRequest, now: datetime) -> None:
        self._request, self._now = request, now
        self._language: Language = language(request.language)
        said = [message for message in request.messages if message.get("role") == "user"]
        self._number = len(said)
        self._heard = _text(said[-1])[-_LONGEST_TURN:].strip() if said else ""
        self._last_answer = next(
            (
                text
                for message in reversed(request.messages)
                if message.get("role") == "assistant" and (text := _text(message).strip())
            ),
            "",
        )
        self._result = _tool_result(request.messages)

    def tool_call(self) -> ToolCall | None:
        """The offered tool that does what was asked; never in the middle of an answer."""
        request = self._request
        if request.prefix or request.tool_choice == "none" or self._result is not None:
            return None
        rule = self._language.rule(self._heard)
        offered = [tool.get("function", {}) for tool in request.tools]
        for name in tool_names(rule.topic) if rule else ():
            for function in offered:
                required = (function.get("parameters") or {}).get("required")
                if function.get("name", "").lower() == name and not required:
                    return ToolCall(_free_id(request.messages), function["name"], "{}")
        return None

    def words(self) -> str:
        """The answer, or with a prefix what is left of it."""
        answer, prefix = self._answer(), self._request.prefix
        if answer.startswith(prefix):
            return answer[len(prefix) :]
        cut_off: str = self._language.phrases["cut_off"]
        if prefix.rstrip().endswith((".", "!", "?")):
            cut_off = cut_off[0].upper() + cut_off[1:]
        return cut_off if prefix[-1].isspace() else f" {cut_off}"

    def _answer(self) -> str:
        phrases = self._language.phrases
        if self._result is not None:
            return self._told(*self._result)
        if not self._number:
            return self._pick(phrases["welcome"])
        if not self._heard:
            return self._pick(phrases["silence"])
        if solved := self._language.sum(self._heard):
            return solved
        rule = self._language.rule(self._heard)
        return self._by_rule(rule) if rule else self._pick(phrases["unknown"])

    def _by_rule(self, rule: Rule) -> str:
        match rule.topic:
            case "time":
                return self._language.time(self._now)
            case "date":
                return self._language.date(self._now)
            case "repeat":
                return self._last_answer or str(self._language.phrases["no_repeat"])
        return self._pick(rule.say)

    def _told(self, tool: str, result: str) -> str:
        """A tool's result as something to say."""
        phrases = self._language.phrases
        if tool in tool_names("goodbye") and (rule := self._language.named("goodbye")):
            return self._pick(rule.say)
        if not result or result.lower().startswith("error"):
            return str(phrases["tool_failed"])
        asked = self._language.rule(self._heard)
        if moment := _moment(result):
            wants_date = len(result) <= _LENGTH_OF_A_DATE or (asked and asked.topic == "date")
            return self._language.date(moment) if wants_date else self._language.time(moment)
        if len(result.split()) >= _WORDS_OF_A_SENTENCE:
            return result
        template: str = phrases["tool_result"]
        return template.format(result=result.rstrip("."))

    def _pick(self, variants: Sequence[str]) -> str:
        """By turn, but never the words just said while there are others."""
        first = max(self._number - 1, 0)
        for offset in range(len(variants)):
            text = self._filled(variants[(first + offset) % len(variants)])
            if text != self._last_answer:
                return text
        return self._filled(variants[0])

    def _filled(self, template: str) -> str:
        spoken: str = self._language.phrases["spoken_setting"]
        heard = " ".join(self._heard.split()[:_LONGEST_QUOTE]).rstrip(".,;:!? ")
        setting = spoken if self._request.speech else "OPENAI_BASE_URL"
        return template.format(setting=setting, heard=heard)


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return " ".join(str(p.get("text") or "") for p in parts if isinstance(p, Mapping))


def _tool_result(messages: Sequence[Message]) -> tuple[str, str] | None:
    """Name and words of the tool result that waits to be told."""
    last = next(
        (m for m in reversed(messages) if m.get("role") not in {"system", "developer"}), None
    )
    if last is None or last.get("role") != "tool":
        return None
    name = next(
        (
            str(call["function"]["name"]).lower()
            for message in messages
            for call in message.get("tool_calls") or ()
            if call.get("id") == last.get("tool_call_id")
        ),
        "",
    )
    return name, _plain(_text(last).strip())


def _plain(result: str) -> str:
    """A JSON result's values in words; any other text as it is."""
    try:
        value: Any = json.loads(result)
    except ValueError:
        return result
    if isinstance(value, dict):
        if "error" in value:
            return ""
        value = list(value.values())
    if isinstance(value, list):
        return ", ".join(str(v) for v in value if isinstance(v, str | int | float))
    return "" if value is None else str(value)


def _moment(result: str) -> datetime | None:
    try:
        return datetime.fromisoformat(result)
    except ValueError:
        return None


def _free_id(messages: Sequence[Message]) -> str:
    used = {call.get("id") for m in messages for call in m.get("tool_calls") or ()}
    number = len(used) + 1
    while f"call_offline_{number}" in used:
        number += 1
    return f"call_offline_{number}"
