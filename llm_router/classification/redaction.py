"""Cuts keys and callers' words out of what a server says, so that an operator may read it.

A server's sentence names the cause, but may quote the request. Whatever could have come from the
request's messages is left out: too much of it, rather than a word too little.
"""

import re
from collections.abc import Iterable, Sequence

from llm_router.types import Message

_LENGTH = 300  # characters
_CUT = "[...]"
_RUN = 4
"""Words in a row that a message and a server's own sentence have in common only by quotation."""
_LONG_NUMBER = 6  # digits
_LONGEST_HISTORY = 300_000
"""Characters of messages, above which nothing is shown, rather than the reply held up."""
_LONGEST_WORD = 60  # characters; a longer one is data, such as a picture

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
"""One word, or one character of a script that has no spaces."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\[nrt]")
_QUOTE = re.compile(
    r"'([^']{2,})'|\"([^\"]{2,})\"|`([^`]{2,})`|“([^”]{2,})”|「([^」]{2,})」|«([^»]{2,})»"
)
_PERSONAL = re.compile(r"\S*@\S+|\+?\d[\d\s().-]{2,}\d")
"""Addresses and numbers: one of them says too much by itself."""
_SECRET = re.compile(
    r"\b(?:(?:sk|pk|gsk|xai|csk|pplx|hf|nvapi|key|ghp|fw)[-_]|AIza|AKIA|eyJ)[\w*.-]{12,}|"
    r"\bBearer\s+\S+|\b[A-Za-z\d+/]*(?=[A-Za-z+/]*\d)(?=[\d+/]*[A-Za-z])[A-Za-z\d+/]{32,}={0,2}",
    re.IGNORECASE,
)
_OWN_WORDS = frozenset(
    {
        *("model", "models", "messages", "message", "content", "role", "name", "system"),
        *("developer", "user", "assistant", "tool", "tools", "tool_calls", "tool_call_id"),
        *("tool_choice", "function", "functions", "parameters", "arguments", "type", "text"),
        *("image_url", "temperature", "top_p", "top_k", "stop", "seed", "stream"),
        *("stream_options", "include_usage", "max_tokens", "max_completion_tokens"),
        *("max_new_tokens", "response_format", "json_object", "json_schema"),
        *("parallel_tool_calls", "reasoning_effort", "thinking", "strict", "auto", "none"),
        *("required", "any", "true", "false", "null", "default", "string", "number", "object"),
        *("array", "boolean", "integer", "enum", "properties"),
    }
)
"""Words of the API, which a server may quote though a caller said them, too."""


def operator_text(
    said: str,
    messages: Sequence[Message] | None,
    own: Iterable[str] = (),
    secrets: Iterable[str] = (),
) -> str:
    """Returns the server's sentence without keys and callers' words, in one bounded line.

    `messages`: those of the request; None where they are not known, and nothing is safe to show.
    `own`: names that are the operator's, such as the parameter that the server objects to.
    `secrets`: keys of the connection.
    """
    if messages is None or not said:
        return ""
    texts = [text for message in messages for text in _texts(message)]
    if sum(map(len, texts)) > _LONGEST_HISTORY:
        return ""
    for secret in secrets:
        said = said.replace(secret, _CUT)
    said = _ESCAPE.sub(_unescape, said)
    said = "".join(character if character.isprintable() else " " for character in said)
    said = _SECRET.sub(_CUT, said)
    said = " ".join(word if len(word) <= _LONGEST_WORD else _CUT for word in said.split())
    if texts:
        said = _without(said, texts, _OWN_WORDS.union(own))
    return said[:_LENGTH].strip()


def _without(said: str, texts: Sequence[str], own: frozenset[str]) -> str:
    """Cuts quotations, numbers, whole messages and long runs of words that the messages hold."""
    lines = [_joined(text) for text in texts]
    haystack = " \n ".join(lines)
    digits = re.sub(r"\D", "", "".join(texts))

    def without_quote(found: re.Match[str]) -> str:
        quoted = next(filter(None, found.groups()))
        is_own = quoted.strip().lower() in own or not quoted.strip()
        is_theirs = _joined(quoted) in haystack and not is_own
        return found[0].replace(quoted, _CUT) if is_theirs else found[0]

    def without_number(found: re.Match[str]) -> str:
        number = re.sub(r"\D", "", found[0])
        is_theirs = _joined(found[0]) in haystack or (
            len(number) >= _LONG_NUMBER and number in digits
        )
        return _CUT if is_theirs else found[0]

    said = _PERSONAL.sub(without_number, _QUOTE.sub(without_quote, said))
    words = list(_WORD.finditer(said))
    hidden = [False] * len(words)
    sizes = {_RUN, *(n for line in lines if 1 < (n := len(line.split())) < _RUN)}
    for size in sizes:
        for start in range(len(words) - size + 1):
            run = " " + " ".join(w[0].casefold() for w in words[start : start + size])
            # The last word may be cut short; a whole message of a few words counts only as such.
            if run in haystack if size == _RUN else f"{run} " in lines:
                hidden[start : start + size] = [True] * size
    return _cut_out(said, words, hidden)


def _cut_out(said: str, words: Sequence[re.Match[str]], hidden: Sequence[bool]) -> str:
    shown, at = [], 0
    for number, word in enumerate(words):
        if not hidden[number]:
            continue
        if not number or not hidden[number - 1]:
            shown += [said[at : word.start()], _CUT]
        at = word.end()
    return "".join([*shown, said[at:]])


def _joined(text: str) -> str:
    """Returns the words alone, each between single spaces, so that words can be sought in it."""
    return " " + " ".join(_WORD.findall(text.casefold())) + " "


def _texts(message: Message) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    calls = message.get("tool_calls") or ()
    texts += [(call.get("function") or {}).get("arguments") for call in calls]
    return [text for text in texts if isinstance(text, str) and text.strip()]


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else " "
