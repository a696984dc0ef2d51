"""Chooses what to say of the passages that a tool has found: lines that end in `[their file]`."""

import re

from llm_router.providers.offline.words import words

_CITED = re.compile(r"(.*\S)\s*\[([^\[\]]+)\]\s*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MOST_SENTENCES = 2
_LEAST_LETTERS = 4
"""Letters of a word that says what a question is about."""
_STEM = 5
"""First letters by which forms of a word are the same: bicycle, bicycles."""
_SHARE = 0.5
"""The least share of a question's words that a passage must have to answer it."""


def answer(result: str, question: str) -> str:
    """Returns the sentences of the first passage that fits the question; empty if none does."""
    asked = {word[:_STEM] for word in words(question) if len(word) >= _LEAST_LETTERS}
    for line in result.splitlines():
        passage = _CITED.fullmatch(line)
        if passage is None:
            continue
        there = {word[:_STEM] for part in passage.groups() for word in words(part)}
        if asked and len(asked & there) >= _SHARE * len(asked):
            return " ".join(_SENTENCE.split(passage[1])[:_MOST_SENTENCES])
    return ""
