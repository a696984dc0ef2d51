"""Implements a provider without a model: a few dozen rules that can always answer.

It is the last resort when every server is down, and answers a fresh installation that has no model
yet. It knows the time, the date, sums and small talk, and says plainly what it cannot know.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from llm_router.clock import Clock, utc_now
from llm_router.connections.record import Connection, Continuation
from llm_router.net.guard import AddressGuard
from llm_router.providers.offline import lookup
from llm_router.providers.offline.rules import Rule, load_language, tool_names
from llm_router.types import ChatRequest, Chunk, Message, ToolCall, Usage

_WORD = re.compile(r"\s*\S+")
_MAX_UTTERANCE = 1000
"""The last characters of an utterance that are read."""
_MAX_QUOTE = 12  # words
_MIN_SENTENCE = 3
"""Words of a tool's result that is spoken unchanged."""
_DATE_LENGTH = len("2026-01-31")
_LOOKED_UP = frozenset({"opening hours", "facts"})
"""Topics whose answers only a tool knows."""


def _local_time() -> datetime:
    return utc_now().astimezone()


def create(
    connection: Connection,  # noqa: ARG001  part of every provider's `create`; this one sends no
    clock: Clock,  # noqa: ARG001  request, waits for nothing
    guard: AddressGuard | None = None,  # noqa: ARG001  and connects to no address
) -> "OfflineProvider":
    return OfflineProvider()


class OfflineProvider:
    """Implements Provider by rules; the same conversation always gets the same reply.

    `now` returns the local time that replies name.
    """

    continuation: Continuation = "trailing"
    last_resort = True

    def __init__(self, now: Callable[[], datetime] = _local_time) -> None:
        self._now = now

    async def warm(self) -> None:
        load_language("en")  # reads the table before the first caller needs it

    async def probe(self) -> None: ...

    async def models(self) -> Sequence[str]:
        return ("offline",)

    async def aclose(self) -> None: ...

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        reply = _Reply(request, self._now())
        prompt = sum(len(_text(message).split()) for message in request.messages)
        call = reply.tool_call()
        if call:
            yield Chunk(tool_calls=(call,))
        text = "" if call else reply.text()
        for word in _WORD.findall(text):
            yield Chunk(text=word)
        yield Chunk(
            finish_reason="tool_calls" if call else "stop",
            usage=Usage(prompt_tokens=prompt, completion_tokens=len(text.split())),
        )


class _Reply:
    """Finds the reply to one request: a tool call or a text."""

    def __init__(self, request: ChatRequest, now: datetime) -> None:
        self._request = request
        self._now = now
        self._language = load_language(request.language)
        users = [message for message in request.messages if message.get("role") == "user"]
        self._turn = len(users)
        self._utterance = _text(users[-1])[-_MAX_UTTERANCE:].strip() if users else ""
        self._last_reply = next(
            (
                text
                for message in reversed(request.messages)
                if message.get("role") == "assistant" and (text := _text(message).strip())
            ),
            "",
        )
        self._result = _tool_result(request.messages)

    def tool_call(self) -> ToolCall | None:
        """Returns a call of an offered tool that serves the utterance, or None.

        Never calls a tool after another one's result, nor while it continues a reply.
        """
        request = self._request
        if request.prefix or request.tool_choice == "none" or self._result is not None:
            return None
        if not self._utterance or self._language.solve_sum(self._utterance):
            return None
        rule = self._language.match(self._utterance)
        offered = [tool.get("function", {}) for tool in request.tools]
        topic = "look up" if rule is None or rule.topic in _LOOKED_UP else rule.topic
        for name in tool_names(topic):
            for function in offered:
                arguments = self._arguments(function, topic)
                if function.get("name", "").lower() == name and arguments is not None:
                    return ToolCall(_new_id(request.messages), function["name"], arguments)
        return None

    def _arguments(self, function: Mapping[str, Any], topic: str) -> str | None:
        """Returns the arguments with which a tool can be called; None: it needs others."""
        parameters = function.get("parameters") or {}
        match parameters.get("required"), topic:
            case None | [], _:
                return "{}"
            case [str(only)], "look up":
                kind = (parameters.get("properties") or {}).get(only, {}).get("type", "string")
                return json.dumps({only: self._utterance}) if kind == "string" else None
        return None

    def text(self) -> str:
        """Returns the reply, or the rest of it after the request's prefix."""
        reply, prefix = self._whole_text(), self._request.prefix
        if reply.startswith(prefix):
            return reply[len(prefix) :]
        cut_off: str = self._language.phrases["cut_off"]
        if prefix.rstrip().endswith((".", "!", "?")):
            cut_off = cut_off[0].upper() + cut_off[1:]
        return cut_off if prefix[-1].isspace() else f" {cut_off}"

    def _whole_text(self) -> str:
        phrases = self._language.phrases
        if self._result is not None:
            return self._describe(*self._result)
        if not self._turn:
            return self._choose(phrases["welcome"])
        if not self._utterance:
            return self._choose(phrases["silence"])
        if solved := self._language.solve_sum(self._utterance):
            return solved
        return self._without_a_tool()

    def _without_a_tool(self) -> str:
        rule = self._language.match(self._utterance)
        return self._by_rule(rule) if rule else self._choose(self._language.phrases["unknown"])

    def _by_rule(self, rule: Rule) -> str:
        match rule.topic:
            case "time":
                return self._language.format_time(self._now)
            case "date":
                return self._language.format_date(self._now)
            case "repeat":
                return self._last_reply or str(self._language.phrases["no_repeat"])
        return self._choose(rule.answers)

    def _describe(self, tool: str, result: str) -> str:
        """Puts a tool's result into a sentence."""
        phrases = self._language.phrases
        if tool in tool_names("goodbye") and (rule := self._language.rule("goodbye")):
            return self._choose(rule.answers)
        if tool in tool_names("look up"):
            return lookup.answer(result, self._utterance) or self._without_a_tool()
        if not result or result.lower().startswith("error"):
            return str(phrases["tool_failed"])
        rule = self._language.match(self._utterance)
        first_word = next(iter(result.split()), "")
        if moment := _moment(first_word):
            is_date = len(first_word) <= _DATE_LENGTH or (rule and rule.topic == "date")
            language = self._language
            return language.format_date(moment) if is_date else language.format_time(moment)
        if len(result.split()) >= _MIN_SENTENCE:
            return result
        template: str = phrases["tool_result"]
        return template.format(result=result.rstrip("."))

    def _choose(self, variants: Sequence[str]) -> str:
        """Returns the variants in turn, but not the last reply if there is another one."""
        first = max(self._turn - 1, 0)
        for offset in range(len(variants)):
            text = self._filled(variants[(first + offset) % len(variants)])
            if text != self._last_reply:
                return text
        return self._filled(variants[0])

    def _filled(self, template: str) -> str:
        spoken: str = self._language.phrases["spoken_setting"]
        quote = " ".join(self._utterance.split()[:_MAX_QUOTE]).rstrip(".,;:!? ")
        setting = spoken if self._request.speech else "OPENAI_BASE_URL"
        return template.format(setting=setting, quote=quote)


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return " ".join(str(p.get("text") or "") for p in parts if isinstance(p, Mapping))


def _tool_result(messages: Sequence[Message]) -> tuple[str, str] | None:
    """Returns name and text of the tool result that the reply must pass on, or None."""
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
    return name, _spoken(_text(last).strip())


def _spoken(result: str) -> str:
    """Returns the values of a JSON result as text; any other text unchanged."""
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


def _moment(word: str) -> datetime | None:
    """Returns the moment that a word in ISO 8601 means, or None for any other."""
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        return None


def _new_id(messages: Sequence[Message]) -> str:
    used = {call.get("id") for m in messages for call in m.get("tool_calls") or ()}
    number = len(used) + 1
    while f"call_offline_{number}" in used:
        number += 1
    return f"call_offline_{number}"
