"""Parses chat-completions replies, in the variants that servers write."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.characters import decode, mend
from llm_router.providers._wire.ending import is_failure
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.json_objects import DONE, read_objects
from llm_router.providers._wire.logprobs import TokenLogprobs
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.reply_parser import ReplyParser, nested_too_deep
from llm_router.providers._wire.sse import Event, EventParser
from llm_router.providers._wire.tools import OfferedTools
from llm_router.types import Chunk, Usage

_LONGEST_ID = 200  # characters
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KEEP_ALIVE = re.compile(
    r"\s*(?::.*|null|\[\]|\"\"|"
    r"[\[\"]?(?:ping|pong|keep[-_ ]?alive|heart[-_ ]?beat|processing)[\]\"]?)\s*",
    re.IGNORECASE | re.DOTALL,
)
"""Data of an event that only keeps the connection open; some gateways wrap a comment into one."""
_JSON = ("{", "[", '"')
_DONE_WORDS = frozenset({DONE, "DONE"})
_ASIDES = frozenset(
    {
        "open",
        "start",
        "started",
        "ready",
        "connected",
        "ping",
        "heartbeat",
        "keepalive",
        "keep-alive",
    }
    | {"metadata", "status", "info", "progress", "debug"}
)
"""Names of events that say something about the stream."""
_THOUGHT_PARTS = frozenset({"reasoning", "reasoning_text", "thought", "redacted_thinking"})
_ERRORS = ("detail", "errors", "err", "error_message", "error_msg", "error_code")
_ERROR_CODES = ("code", "status", "statusCode", "status_code")
_ERROR_KIND = re.compile("error|exception|fail", re.IGNORECASE)
_NO_ERRORS = frozenset(
    {"0", "200", "ok", "success", "succeeded", "started", "queued", "pending", "loading"}
    | {"running", "processing", "connected", "in_progress"}
)
_END_EVENTS = frozenset({"done", "end", "finish", "complete", "close"})


class ChatReplyParser(ReplyParser):
    """Parses one reply, streamed or not."""

    def __init__(
        self,
        tools: OfferedTools,
        known_ids: Iterable[str] = (),
        origin: str = "",
        machine_text: MachineTextFilter | None = None,
    ) -> None:
        super().__init__(tools, known_ids, origin, machine_text)
        self._events = EventParser()
        self._body: bytearray | None = None  # of a reply that is not streamed
        self._start: bytes | None = b""  # the first bytes, until they show which it is
        self._thought = False
        self._has_message = False
        self._logprobs: TokenLogprobs | None = None

    def feed(self, data: bytes) -> Iterator[Chunk]:
        if self.ending.is_done:
            return iter(())
        if self._start is not None:
            data = self._begin(data)
        if self._body is None:
            return self._chunks(self._events.feed(data))
        self._body += data
        if len(self._body) > limits.ANSWER:
            raise BrokenStreamError(f"the answer is JSON of more than {limits.ANSWER} bytes")
        return iter(())

    def _flush(self) -> Iterator[Chunk]:
        if self._start:
            yield from self._chunks(self._events.feed(self._start))
        if self._body is None:
            yield from self._chunks(self._events.close())
        else:
            yield from self._chunks([Event("", decode(bytes(self._body)).strip())])
            self.ending.is_done = self.ending.is_done or self._has_message

    def _begin(self, data: bytes) -> bytes:
        """Tells a stream from plain JSON by the first byte: content types are not reliable.

        Returns the data to parse; none until that byte is here.
        """
        data = ((self._start or b"") + data).lstrip(b" \t\r\n\0")
        if len(data) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(data):
            self._start = data
            return b""
        self._start = None
        data = data.removeprefix(_BYTE_ORDER_MARK)
        if data.startswith(b"<"):
            raise BrokenStreamError("the answer is a web page; does base_url lead to the API?")
        if data.startswith((b"{", b"[")):
            self._body = bytearray()
        return data

    def _chunks(self, events: Iterable[Event]) -> Iterator[Chunk]:
        ending = self.ending
        for name, data in events:
            payloads = read_objects(data) if data.startswith("{") else self._unusual(name, data)
            for payload in payloads:
                if ending.is_done:
                    return
                try:
                    chunk = self._chunk(name, payload)
                except RecursionError as error:
                    raise nested_too_deep() from error
                if chunk:
                    yield chunk
        yield from self._announce_call()

    def _unusual(self, name: str, data: str) -> Iterable[Any]:
        """Returns the payloads of an event whose data is no object; none where it says nothing.

        A list may hold several, and some servers encode a payload twice.
        """
        is_text = not data.lstrip().startswith(_JSON)
        if name == "error" and is_text:
            raise status_error(0, data or name)
        if data.strip().upper() in _DONE_WORDS:
            return (DONE,)
        if _KEEP_ALIVE.fullmatch(data) or (name in _ASIDES and is_text):
            return ()
        return _unfolded(data)

    def _chunk(self, name: str, payload: Any) -> Chunk | None:
        if not isinstance(payload, dict):
            if payload == DONE:
                self.ending.is_done = True
                return None
            raise BrokenStreamError("the answer holds an event that is not a JSON object")
        if name or "error" in payload or payload.get("object") == "error":
            self._note_event(name, payload)
        if not self._request_id:
            self._request_id = _identifier(payload.get("id"))
        if "usage" in payload or "x_groq" in payload:
            self._note_usage(payload)
        choices = payload["choices"] if "choices" in payload else _wrapped_choices(payload)
        if isinstance(choices, dict):
            choices = [choices]
        if isinstance(choices, list) and choices and isinstance(choices[0], dict):
            chunk = self._choice(choices[0])
            for other in choices[1:]:
                self._note_other(other)
            return chunk
        if not choices and _is_error(payload):
            raise status_error(0, payload)
        return None

    def _note_event(self, name: str, payload: dict[str, Any]) -> None:
        """Notes what an event's name, or an error beside its choices, says about the reply."""
        error = payload.get("error")
        is_error = any(error.values()) if isinstance(error, dict) else bool(error)
        if is_error or payload.get("object") == "error" or name == "error":
            raise status_error(0, payload)
        if name in _END_EVENTS and not payload.get("choices"):
            self.ending.is_done = True

    def _choice(self, choice: dict[str, Any]) -> Chunk | None:
        reason = choice.get("finish_reason")
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        text, reasoning, has_calls = delta.get("content"), "", False
        if len(delta) > 1 or not isinstance(text, str):  # else it is nothing but words
            text, reasoning = _words(delta)
            has_calls = self._note_calls(delta)
            self._extras.note(delta)
        if text:
            text, reasoning = self._joined(text, reasoning)
            is_last = bool(reason) or self.ending.has_reason
            text = self._said.add(text, is_last=is_last)
        else:
            text, reasoning = self._without_words(choice, reasoning)
        if reason or not text:
            reason = _reason(choice, delta)
        if reason or self.ending.has_reason:
            self.ending.note(reason, has_words=bool(text) or has_calls)
            self._stop_sequence = _met(choice) or self._stop_sequence
        if reasoning:
            self._thought = True
        if "usage" in choice:  # Moonshot
            self._keep_usage(choice["usage"])
        if choice.get("logprobs") and not (reasoning or has_calls):  # tokens of words alone
            self._logprobs = self._logprobs or TokenLogprobs()
            self._logprobs.add(choice["logprobs"], _content(choice))
        if not (text or reasoning):
            return None
        logprobs = self._logprobs.of(text) if self._logprobs else ()
        return Chunk(text, reasoning, request_id=self._request_id, logprobs=logprobs)

    def _note_other(self, choice: Any) -> None:
        """Notes the tool calls of a second choice, into which Copilot puts those of Claude."""
        said = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
        if isinstance(said, dict):
            self._note_calls(said)

    def _without_words(self, choice: dict[str, Any], reasoning: str) -> tuple[str, str]:
        """Returns text and reasoning of a choice whose delta has no words."""
        if choice.get("error"):
            raise status_error(0, choice)
        if isinstance(message := choice.get("message"), dict):
            return self._message(message, reasoning)
        if "delta" not in choice and (text := _text(choice.get("text"))):  # the older API's
            text, reasoning = self._joined(text, reasoning)
            return self._said.add(text), reasoning
        return self._joined("", reasoning)

    def _message(self, message: dict[str, Any], reasoning: str) -> tuple[str, str]:
        """Returns text and reasoning of a whole message, without what pieces have said before."""
        self._has_message = True
        text, thought = _words(message)
        if not self._call_parts:
            self._note_calls(message)
        if not self._extras.has_any:
            self._extras.note(message)
        text, reasoning = self._joined(text, reasoning or ("" if self._thought else thought))
        return self._said.add_message(text) if text else "", reasoning

    def _note_calls(self, delta: dict[str, Any]) -> bool:
        """Notes the tool calls of a delta or message; returns whether it has any."""
        calls = delta.get("tool_calls")
        call = delta.get("function_call")  # how calls were written before tools
        if calls:
            self._add_calls(calls)
        if call:
            self._add_calls({"function": call})
        return bool(calls or call)

    def _note_usage(self, payload: dict[str, Any]) -> None:
        usage = payload.get("usage")
        if not usage and isinstance(groq := payload.get("x_groq"), dict):
            usage = groq.get("usage")
            if groq.get("error"):
                raise status_error(0, groq)
        self._keep_usage(usage)

    def _keep_usage(self, usage: Any) -> None:
        """Keeps the latest usage; some gateways end with one that counts nothing."""
        if isinstance(usage, dict) and ((new := usage_of(usage)) != Usage() or not self._usage):
            self._usage = new


def _unfolded(data: str) -> Iterator[Any]:
    for payload in read_objects(data):
        if isinstance(payload, str) and payload.lstrip().startswith("{"):
            yield from read_objects(payload)
        elif isinstance(payload, list) and all(isinstance(item, dict) for item in payload):
            yield from payload
        elif not isinstance(payload, bool | int | float):  # which are signs of life
            yield payload


def _wrapped_choices(payload: dict[str, Any]) -> Any:
    """Returns the choices of a chunk that a gateway has wrapped; None if it has none."""
    inner = payload.get("data") or payload.get("result")
    return inner.get("choices") if isinstance(inner, dict) else None


def _identifier(value: Any) -> str:
    return mend(value)[:_LONGEST_ID] if isinstance(value, str) else ""


def usage_of(usage: dict[str, Any]) -> Usage:
    """Returns the token counts, under whichever name a vendor gives them."""
    prompt = usage.get("prompt_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = usage.get("completion_tokens_details")
    completion = completion if isinstance(completion, dict) else {}
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens") or usage.get("input_tokens")),
        completion_tokens=_count(usage.get("completion_tokens") or usage.get("output_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        cache_creation_tokens=_count(
            prompt.get("cache_write_tokens")  # OpenRouter
            or prompt.get("cache_creation_tokens")  # LiteLLM
            or usage.get("cache_creation_input_tokens")  # Anthropic's own name
        ),
        reasoning_tokens=_count(
            completion.get("reasoning_tokens") or usage.get("reasoning_tokens")
        ),
    )


def _is_error(payload: dict[str, Any]) -> bool:
    """Returns whether an event without choices is an error in one of the less usual shapes."""
    if payload.get("type") == "error" or payload.get("success") is False:
        return True
    if any(payload.get(name) for name in _ERRORS):
        return True
    if isinstance(base := payload.get("base_resp"), dict) and base.get("status_code"):  # MiniMax
        return True
    says = any(isinstance(payload.get(name), str) for name in ("message", "msg"))
    kind = payload.get("type")
    is_kind = isinstance(kind, str) and _ERROR_KIND.search(kind) is not None
    return says and (is_kind or any(_is_code(payload.get(name)) for name in _ERROR_CODES))


def _is_code(value: Any) -> bool:
    """Returns whether a code or status beside a message is that of an error."""
    return bool(value) and str(value).lower() not in _NO_ERRORS


def _reason(choice: dict[str, Any], delta: dict[str, Any]) -> Any:
    """Returns the finish reason, wherever it is.

    A router such as OpenRouter gives the vendor's own reason too, which may be the only one that
    tells of a failure.
    """
    reason = choice.get("finish_reason")
    native = choice.get("native_finish_reason")
    says_little = not reason or reason == "stop"
    if says_little and isinstance(native, str) and native and is_failure(native):
        return native
    return reason or native or choice.get("finishReason") or delta.get("finish_reason")


def _content(choice: dict[str, Any]) -> Any:
    """Returns the content of a delta or message as it was sent."""
    said = choice.get("delta") or choice.get("message")
    content = said.get("content") if isinstance(said, dict) else None
    return "" if content is None else content


def _met(choice: dict[str, Any]) -> str:
    """Returns the stop sequence that was met; a number is a token that ends every reply."""
    met = choice.get("stop_reason") or choice.get("matched_stop")  # vLLM; SGLang
    return met if isinstance(met, str) else ""


def _words(delta: dict[str, Any]) -> tuple[str, str]:
    """Returns text and reasoning of a delta or message."""
    content = delta.get("content")
    text, reasoning = _parts(content)
    if not text and delta.get("refusal"):  # OpenAI's field for a model's own words of refusal
        text = _text(delta["refusal"])
    if "reasoning_content" in delta or "reasoning" in delta:
        reasoning += _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
    if "extra_content" in delta and _is_thought(delta["extra_content"]):
        return "", reasoning + text
    return text, reasoning


def _is_thought(extra: Any) -> bool:
    """Returns whether the words beside these fields are Gemini's thoughts."""
    google = extra.get("google") if isinstance(extra, dict) else None
    return isinstance(google, dict) and google.get("thought") is True


def _parts(content: Any) -> tuple[str, str]:
    """Returns text and reasoning of a content, which may be a list of typed parts (Mistral)."""
    if isinstance(content, str):
        return content, ""
    text, reasoning = "", ""
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content), ""
    if isinstance(content, dict):
        content = [content]
    for part in content if isinstance(content, list) else ():
        if isinstance(part, str):
            text += part
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            reasoning += inner if isinstance(inner, str) else _parts(inner)[0]
        elif _text(part.get("type")) in _THOUGHT_PARTS or part.get("thought") is True:
            reasoning += _text(part.get("text"))
        else:
            inner = part.get("text")
            text += _text(inner.get("value") if isinstance(inner, dict) else inner)
    return text, reasoning


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    """Returns a number of tokens, which some servers write as a float or a text; else 0."""
    try:
        return 0 if isinstance(value, bool) else max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0
