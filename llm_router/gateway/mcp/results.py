"""Makes results of tools, which are bounded: an assistant's context is small. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from mcp_types import CallToolResult, TextContent

MAX_BYTES = 75_000
"""Of a result as UTF-8. A token has three bytes or more, in whatever language, so these are at most
25,000 tokens, from which on clients cut or refuse results."""
_CUT = "\n[cut here: the rest is too long]"


def said(*texts: str, is_error: bool = False) -> CallToolResult:
    """Returns texts as a result. What is beyond the bound is cut off, and the text says so."""
    left = MAX_BYTES - len(_CUT) - sum(len(text.encode()) for text in texts[1:])
    content = [TextContent(text=cut(text, left) if not n else text) for n, text in enumerate(texts)]
    return CallToolResult(content=[*content], is_error=is_error)


def data(value: Mapping[str, Any]) -> CallToolResult:
    """Returns facts as JSON, in both forms that clients read; callers bound their number."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return CallToolResult(content=[TextContent(text=text)], structured_content=json.loads(text))


def cut(text: str, most: int) -> str:
    """Returns the text, cut after `most` bytes if it is longer."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[:most].decode(errors="ignore") + _CUT
