"""Encodes a script for the wires that the faulty server speaks: chat completions and Ollama's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from llm_router.testing.script import Fault, Script, chunk, completion, event, usage

Messages = Sequence[Mapping[str, Any]]


class Format(Protocol):
    """A wire format. Each member returns bytes or a JSON body to send."""

    content_type: str
    blank: bytes
    """A keep-alive: bytes without content."""
    garbage: bytes
    """A message that cannot be parsed."""

    def opening(self) -> Iterator[bytes]: ...
    def reasoning(self, text: str) -> bytes: ...
    def word(self, text: str) -> bytes: ...
    def tool_calls(self, script: Script) -> Iterator[bytes]: ...
    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]: ...
    def error_event(self, script: Script) -> bytes:
        """Encodes an error inside a stream whose status was 200."""

    def error_body(self, script: Script) -> Mapping[str, Any]:
        """Returns the body that goes with an HTTP error status."""

    def completion(
        self, script: Script, messages: Messages, words: Sequence[str]
    ) -> dict[str, Any]:
        """Returns the whole reply, for a client that did not ask for a stream."""


class ChatCompletions:
    content_type = "text/event-stream"
    blank = b": keep-alive\n\n"
    garbage = b'data: {"choices": [{"delta": {"con\n\n'

    def opening(self) -> Iterator[bytes]:
        yield event(chunk({"role": "assistant", "content": ""}))

    def reasoning(self, text: str) -> bytes:
        return event(chunk({"reasoning_content": text}))

    def word(self, text: str) -> bytes:
        return event(chunk({"content": text}))

    def tool_calls(self, script: Script) -> Iterator[bytes]:
        return (event(chunk(delta)) for delta in script.call_deltas())

    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]:
        if not script.finish_reason:
            return
        yield event(chunk({}, script.finish_reason))
        if (body.get("stream_options") or {}).get("include_usage"):
            used = usage(body.get("messages", []), words)
            yield event({**chunk({}), "choices": [], "usage": used})
        yield event("[DONE]")

    def error_event(self, script: Script) -> bytes:
        return event(script.error())

    def error_body(self, script: Script) -> Mapping[str, Any]:
        return script.error()

    def completion(
        self, script: Script, messages: Messages, words: Sequence[str]
    ) -> dict[str, Any]:
        return completion(script, messages, words)


class OllamaChat:
    """Ollama's native wire at /api/chat: one JSON object a line."""

    content_type = "application/x-ndjson"
    blank = b"\n"
    garbage = b'{"message": {"con\n'

    def opening(self) -> Iterator[bytes]:
        yield self.word("")

    def reasoning(self, text: str) -> bytes:
        return _line({"message": {"role": "assistant", "content": "", "thinking": text}})

    def word(self, text: str) -> bytes:
        return _line({"message": {"role": "assistant", "content": text}})

    def tool_calls(self, script: Script) -> Iterator[bytes]:
        """Yields each call whole and without an id; HALF_TOOL_CALL cuts the last line in half."""
        lines = [
            _line({"message": {"role": "assistant", "content": "", "tool_calls": [call]}})
            for call in self._calls(script)
        ]
        if script.fault is Fault.HALF_TOOL_CALL:
            lines[-1] = lines[-1][: len(lines[-1]) // 2]
        return iter(lines)

    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]:
        if script.finish_reason:
            used = usage(body.get("messages", []), words)
            yield _line({"message": _EMPTY, **self._end(script, used)})

    def error_event(self, script: Script) -> bytes:
        return _line(self.error_body(script))

    def error_body(self, script: Script) -> Mapping[str, Any]:
        return {"error": script.error()["error"]["message"]}

    def completion(
        self, script: Script, messages: Messages, words: Sequence[str]
    ) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(words)}
        calls = {"tool_calls": calls} if (calls := self._calls(script)) else {}
        return {"message": message | calls, **self._end(script, usage(messages, len(words)))}

    def _calls(self, script: Script) -> list[dict[str, Any]]:
        calls = script.complete_calls()
        if script.fault is Fault.BROKEN_TOOL_JSON:
            return [{"function": {"name": c.name, "arguments": c.arguments[:9]}} for c in calls]
        return [{"function": {"name": c.name, "arguments": json.loads(c.arguments)}} for c in calls]

    def _end(self, script: Script, used: Mapping[str, Any]) -> dict[str, Any]:
        reason = "length" if script.finish_reason == "length" else "stop"
        counts = {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens"}
        totals = {ollamas: used[openais] for ollamas, openais in counts.items()}
        return {"done": True, "done_reason": reason, "load_duration": 0, **totals}


_EMPTY = {"role": "assistant", "content": ""}


class OllamaGenerate(OllamaChat):
    """Ollama's wire at /api/generate, with the text in `response` instead of in a message."""

    def word(self, text: str) -> bytes:
        return _line({"response": text})


def format_for(path: str) -> Format:
    """Selects the wire that a client expects at this path."""
    if path.endswith("/api/chat"):
        return OllamaChat()
    return OllamaGenerate() if path.endswith("/api/generate") else ChatCompletions()


def json_line(body: Mapping[str, Any]) -> bytes:
    """Encodes one line of NDJSON; characters stay unescaped, so that they can be cut in half."""
    return f"{json.dumps(body, ensure_ascii=False)}\n".encode()


def _line(body: Mapping[str, Any]) -> bytes:
    return json_line({"model": "faulty", "done": False, **body})
