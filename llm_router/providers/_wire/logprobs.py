"""Reads how likely each token of a reply was, where a server says so. Pure."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from llm_router.providers._wire.characters import mend

_LEAST = -9999.0
"""A logarithm that stands for no chance at all, as OpenAI and vLLM write it: JSON has no -inf."""
_MOST_TOP = 20
_LONGEST_TOKEN = 1_000  # characters


class TokenLogprobs:
    """The tokens of one reply, and which of them are the text that is given out.

    Text that is held back, as it may turn out to be no words, keeps its tokens until it is given
    out. Once other text is given out than was sent, no token belongs to any text.
    """

    def __init__(self) -> None:
        self._tokens: list[Mapping[str, Any]] = []
        self._sent = ""
        self._is_lost = False

    def add(self, given: Any, text: Any) -> None:
        """Adds what a server sent with a piece of text."""
        tokens = given.get("content") if isinstance(given, Mapping) else None
        if isinstance(tokens, list) and isinstance(text, str):
            self._tokens += [_token(each) for each in tokens if isinstance(each, Mapping)]
            self._sent += text

    def of(self, text: str) -> tuple[Mapping[str, Any], ...]:
        """Returns the tokens of a text that is given out; none where they are not its own."""
        if self._is_lost or not self._sent.startswith(text):
            self._is_lost = True
            return ()
        self._sent = self._sent[len(text) :]
        if self._sent:
            return ()
        tokens, self._tokens = tuple(self._tokens), []
        return tokens


def _token(given: Mapping[str, Any]) -> Mapping[str, Any]:
    tops = given.get("top_logprobs")
    tops = tops if isinstance(tops, list) else []
    return {
        **_chance(given),
        "top_logprobs": [_chance(top) for top in tops[:_MOST_TOP] if isinstance(top, Mapping)],
    }


def _chance(given: Mapping[str, Any]) -> Mapping[str, Any]:
    token = given.get("token")
    return {
        "token": mend(token)[:_LONGEST_TOKEN] if isinstance(token, str) else "",
        "logprob": _number(given.get("logprob")),
        "bytes": _bytes(given.get("bytes")),
    }


def _number(given: Any) -> float:
    with suppress(TypeError, ValueError, OverflowError):
        if math.isfinite(value := float(given)):
            return max(_LEAST, value)
    return _LEAST


def _bytes(given: Any) -> list[int] | None:
    if not isinstance(given, list) or not all(isinstance(each, int) for each in given):
        return None
    return given[:_LONGEST_TOKEN]
