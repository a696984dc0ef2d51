"""Feeds bytes to the parsers of the wires, without a server."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llm_router.errors import UpstreamError
from llm_router.providers._wire.reply import ChatReplyParser
from llm_router.providers._wire.reply_parser import ReplyParser
from llm_router.providers._wire.tools import OfferedTools
from llm_router.providers.ollama.reply import OllamaReplyParser
from llm_router.types import Chunk, ToolCall, Usage

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@dataclass(frozen=True)
class Parsed:
    """The sum of a reply: all chunks joined, or the error that ended it."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    error: UpstreamError | None = None


def parser_of(wire: str) -> ReplyParser:
    tools = OfferedTools([TOOL])
    return OllamaReplyParser(tools) if wire == "ollama" else ChatReplyParser(tools)


def parse(
    pieces: Iterable[bytes], wire: str = "openai_compatible", *, broken: UpstreamError | None = None
) -> Parsed:
    """Parses a reply as its provider does; `broken`: the error in which the connection ends."""
    parser = parser_of(wire)
    chunks: list[Chunk] = []
    error: UpstreamError | None = None
    try:
        try:
            for piece in pieces:
                chunks.extend(parser.feed(piece))
            if broken:
                raise broken
        except UpstreamError as fault:
            parser.forgive(fault)
        chunks.extend(parser.close())
    except UpstreamError as fault:
        error = fault
    return Parsed(
        "".join(chunk.text for chunk in chunks),
        "".join(chunk.reasoning for chunk in chunks),
        tuple(call for chunk in chunks for call in chunk.tool_calls),
        next((chunk.finish_reason for chunk in chunks if chunk.finish_reason), None),
        next((chunk.usage for chunk in chunks if chunk.usage), None),
        error,
    )


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cuts the data at these places, which are taken modulo its length."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def events(*bodies: Any, done: bool = True) -> bytes:
    """Returns a stream of server-sent events; a body that is a text stands for itself."""
    lines = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return b"".join(f"data: {x}\n\n".encode() for x in [*lines, *(["[DONE]"] * done)])


def json_lines(*bodies: Any) -> bytes:
    return b"".join(
        (body if isinstance(body, str) else json.dumps(body)).encode() + b"\n" for body in bodies
    )


def said(content: str, finish: Any = None, **fields: Any) -> dict[str, Any]:
    """Returns a chunk of chat completions with words; `fields` belong to the choice."""
    delta = {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **fields}]}


def ended(finish: Any, **fields: Any) -> dict[str, Any]:
    """Returns a chunk without words; `fields` belong to the choice."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": finish, **fields}]}


def line(content: str = "", done: str | None = None, **fields: Any) -> dict[str, Any]:
    """Returns a line of Ollama's; `done`: its reason; `fields` belong to the message."""
    end = {} if done is None else {"done": True, "done_reason": done}
    return {"message": {"role": "assistant", "content": content, **fields}, "done": False, **end}
