"""How a script's words look on the wires that the faulty server speaks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from llm_router.testing.script import Fault, Script, chunk, completion, event, usage

Messages = Sequence[Mapping[str, Any]]


class Format(Protocol):
    """Each member is what goes over the wire; what a wire cannot say is left out."""

    content_type: str
    blank: bytes
    """A sign of life that says nothing."""
    garbage: bytes

    def opening(self) -> Iterator[bytes]: ...
    def thought(self, text: str) -> bytes: ...
    def word(self, text: str) -> bytes: ...
    def calls(self, script: Script) -> Iterator[bytes]: ...
    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]: ...
    def error(self, script: Script) -> bytes:
        """Told inside a 200."""

    def refusal(self, script: Script) -> Mapping[str, Any]:
        """The body of an HTTP status."""

    def whole(self, script: Script, messages: Messages, words: Sequence[str]) -> dict[str, Any]:
        """For a client that asked for no stream."""


class ChatCompletions:
    content_type = "text/event-stream"
    blank = b": keep-alive\n\n"
    garbage = b'data: {"choices": [{"delta": {"con\n\n'

    def opening(self) -> Iterator[bytes]:
        yield event(chunk({"role": "assistant", "content": ""}))

    def thought(self, text: str) -> bytes:
        return event(chunk({"reasoning_content": text}))

    def word(self, text: str) -> bytes:
        return event(chunk({"content": text}))

    def calls(self, script: Script) -> Iterator[bytes]:
        return (event(chunk(delta)) for delta in script.call_deltas())

    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]:
        if script.finish_reason:
            yield event(chunk({}, script.finish_reason))
        if (body.get("stream_options") or {}).get("include_usage"):
            used = usage(body.get("messages", []), words)
            yield event({**chunk({}), "choices": [], "usage": used})
        yield event("[DONE]")

    def error(self, script: Script) -> bytes:
        return event(script.error())

    def refusal(self, script: Script) -> Mapping[str, Any]:
        return script.error()

    def whole(self, script: Script, messages: Messages, words: Sequence[str]) -> dict[str, Any]:
        return completion(script, messages, words)


class OllamaLines:
    """Ollama's own: /api/chat, a JSON object a line."""

    content_type = "application/x-ndjson"
    blank = b"\n"
    garbage = b'{"message": {"con\n'

    def opening(self) -> Iterator[bytes]:
        yield self.word("")

    def thought(self, text: str) -> bytes:
        return _line({"message": {"role": "assistant", "content": "", "thinking": text}})

    def word(self, text: str) -> bytes:
        return _line({"message": {"role": "assistant", "content": text}})

    def calls(self, script: Script) -> Iterator[bytes]:
        """Whole, and without an id; one that is cut ends in the middle of its line."""
        said = [
            _line({"message": {"role": "assistant", "content": "", "tool_calls": [call]}})
            for call in self._calls(script)
        ]
        if script.fault is Fault.HALF_TOOL_CALL:
            said[-1] = said[-1][: len(said[-1]) // 2]
        return iter(said)

    def ending(self, script: Script, body: Mapping[str, Any], words: int) -> Iterator[bytes]:
        if script.finish_reason:
            asked = usage(body.get("messages", []), words)
            yield _line({"message": _EMPTY, **self._end(script, asked)})

    def error(self, script: Script) -> bytes:
        return _line(self.refusal(script))

    def refusal(self, script: Script) -> Mapping[str, Any]:
        return {"error": script.error()["error"]["message"]}

    def whole(self, script: Script, messages: Messages, words: Sequence[str]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(words)}
        calls = {"tool_calls": calls} if (calls := self._calls(script)) else {}
        return {"message": message | calls, **self._end(script, usage(messages, len(words)))}

    def _calls(self, script: Script) -> list[dict[str, Any]]:
        whole = script.whole_calls()
        if script.fault is Fault.BROKEN_TOOL_JSON:
            return [{"function": {"name": c.name, "arguments": c.arguments[:9]}} for c in whole]
        return [{"function": {"name": c.name, "arguments": json.loads(c.arguments)}} for c in whole]

    def _end(self, script: Script, used: Mapping[str, Any]) -> dict[str, Any]:
        reason = "length" if script.finish_reason == "length" else "stop"
        counts = {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens"}
        told = {name: used[ours] for name, ours in counts.items()}
        return {"done": True, "done_reason": reason, "load_duration": 0, **told}


_EMPTY = {"role": "assistant", "content": ""}


class OllamaPlain(OllamaLines):
    """/api/generate, which has no message around its words."""

    def word(self, text: str) -> bytes:
        return _line({"response": text})


def format_of(path: str) -> Format:
    if path.endswith("/api/chat"):
        return OllamaLines()
    return OllamaPlain() if path.endswith("/api/generate") else ChatCompletions()


def json_line(said: Mapping[str, Any]) -> bytes:
    """Characters are not escaped, so that they can be cut in half."""
    return f"{json.dumps(said, ensure_ascii=False)}\n".encode()


def _line(said: Mapping[str, Any]) -> bytes:
    return json_line({"model": "faulty", "done": False, **said})
