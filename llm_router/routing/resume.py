"""Continues a reply whose stream broke after some words, and joins the two halves.

A server that can continue another's words gets them as `ChatRequest.prefix`; any other server is
asked in words. Either may repeat what was said, so the seam drops every beginning that repeats the
end of the words given out.
"""

import re
from dataclasses import replace

from llm_router.connections.record import Continuation
from llm_router.providers.base import ASK_TO_GO_ON
from llm_router.routing.repetition import Folder, Repetition
from llm_router.routing.speech import ends_sentence
from llm_router.types import ChatRequest

_LONGEST_REMARK = 100
"""Characters within which a sentence about continuing must end to be recognised as one."""
_WINDOW = 600
"""Characters of a continuation in which remarks about continuing are searched for."""
_WEAK_OPENERS = ("okay", "ok", "right", "sorry", "apologies", "my apologies")
_OPENERS = ("sure", "certainly", "of course", "absolutely")
_GERUNDS = ("continuing", "continuation", "continued", "resuming", "going on", "picking up")
_REMARK_STARTS = (
    *_OPENERS,
    *_WEAK_OPENERS,
    *_GERUNDS,
    *(
        subject + verb
        for subject in ("let me ", "i'll ", "i will ", "i'm ", "i am ")
        for verb in ("continu", "resum", "go on", "going on", "pick up", "picking up")
    ),
    *("here's the rest", "here is the rest", "the rest of ", "where i left", "where we left"),
    *("as i was saying", "like i was saying"),
)
_OPENER = re.compile(
    rf"\s*(({'|'.join(_OPENERS)})[,.!:]+|(as|like) i was saying,)(\s+|\Z)", re.IGNORECASE
)
_WEAK_OPENER = re.compile(
    rf"\s*({'|'.join((*_OPENERS, *_WEAK_OPENERS))})\b[^.:!?…\n]{{0,40}}[.:!?…\s]*", re.IGNORECASE
)
# A bare "continue" or "pick up" may be an instruction to the caller, so it takes more than that.
_REMARK = re.compile(
    rf"""
    \s* (({"|".join(_WEAK_OPENERS)})\b [^.:!?…\n]{{0,40}}, \s*)?
    (
        here('s|\ is)\ the\ rest\b .{{0,60}}
      | the\ rest\ of\ (the|my)\ (message|answer|reply|response)\b .{{0,60}}
      | where\ (i|we)\ left\ off\b .{{0,60}}
      | (as|like)\ i\ was\ saying
      | (
            (let\ me|i'll|i\ will|i'm|i\ am)\ (continu|resum|go\ on|going\ on|pick(ing)?\ up)\w*
          | {"|".join(map(re.escape, _GERUNDS))}
        )
        (\s+(on|up))?
        (
            .{{0,60}} \b(
                where\ (i|we|it|my)\b | left\ off | from\ there
              | (my|the|that)\ (\w+\ )?(message|answer|sentence|reply|response|thought)
            )\b .{{0,60}}
          | [^.:!?…\n]{{0,60}} (?=:)
          |
        )
    )
    [.:!?…\s]*
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_SENTENCE = re.compile(
    rf"\s*+.{{0,{_LONGEST_REMARK}}}?([.:!?…]++\s++|[^\S\n]*+\n\s*+)(?=\S)", re.DOTALL
)
_SENTENCE_OVER = re.compile(r"[.!?:…][\"')\]”\u2019]*\s*$")
_SMALL_WORDS = frozenset(
    {
        *("a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "is", "it", "of", "on"),
        *("or", "our", "so", "that", "the", "then", "they", "this", "to", "we", "with", "you"),
        "your",
    }
)
_SAID_TWICE = frozenset(
    {
        *("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        *("no", "very", "so", "had", "that", "really", "bye"),
    }
)
"""Words said twice in a row on purpose, so that a second one is no sign of a repetition."""
_SHORTEST_REPEAT = 8
_SHORTEST_FRAGMENT = 2
_NO_SPACE_BEFORE = re.compile(r"[\s,.;:!?…)\]}'\u2019”%/-]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uff00-\uff65、。]")
"""Scripts without spaces between words."""


def resume_request(request: ChatRequest, given: str, continuation: Continuation) -> ChatRequest:
    """Returns the request, changed so that its answer continues after the words in `given`."""
    if continuation != "words":
        return replace(request, prefix=given)
    messages = [
        *request.messages,
        {"role": "assistant", "content": given},
        {"role": "user", "content": ASK_TO_GO_ON},
    ]
    return replace(request, messages=messages, livekit_context=None)


def may_end_quietly(given: str, *, speakers: int, was_calling: bool) -> bool:
    """Returns whether a reply that no endpoint can finish may end as it is, without an apology.

    It may where only its end seems to be lost: its words are whole sentences, and no endpoint that
    was asked to go on had more to say. `speakers`: attempts whose words were given out.
    `was_calling`: one of the attempts had begun a tool call, which "Let me check." would leave the
    caller waiting for.
    """
    return ends_sentence(given) and speakers == 1 and not was_calling


class Seam:
    """Joins a continuation to the words already given out, which are never taken back.

    `feed` returns the text that may be given out now. It holds text back while that could still
    turn out to be a repetition, or a remark about continuing, so that the result is the same
    however the text is cut into chunks. `flush` returns the rest at the end.
    """

    def __init__(self, given: str, continuation: Continuation) -> None:
        self._given = given
        self._in_words = continuation == "words"
        self._mid_sentence = not _SENTENCE_OVER.search(given[-_WINDOW:])
        said = Folder(given).folded
        self._said = said
        self._repetition = Repetition(said, _word_starts(said) if self._in_words else [0])
        self._held = ""
        self._answer_at: int | None = None
        """Where in the text held back the answer begins, after remarks; None: not known yet."""
        self._joined = False

    def feed(self, text: str) -> str:
        if self._joined:
            return text
        if not self._given:
            self._joined = bool(text.strip())
            return text.lstrip()
        self._held += text
        return self._join(text, final=False)

    def flush(self) -> str:
        if self._joined or not self._given:
            return ""
        return self._join("", final=True)

    def _join(self, added: str, *, final: bool) -> str:
        """Returns the text that follows the words given; empty while it cannot be known yet."""
        if self._answer_at is None:
            self._answer_at = self._find_answer(final=final)
            if self._answer_at is None:
                return ""
            added = self._held[self._answer_at :]
        self._repetition.feed(added)
        if not final and self._repetition.may_go_on:
            return ""
        text = self._held[self._answer_at :]
        repeated = self._repeated(text)
        rest = text[repeated:]
        lowers = self._in_words and self._mid_sentence
        if lowers and not final and _may_be_small_word(rest):
            return ""
        self._joined = True
        self._held = ""
        if self._given[-1].isspace():
            rest = rest.lstrip()
        elif self._in_words and not repeated and self._needs_space(rest):
            rest = " " + rest
        return _lowered(rest) if lowers else rest

    def _find_answer(self, *, final: bool) -> int | None:
        """Returns where the answer begins; None: more must come."""
        if not self._in_words:
            return 0
        window = self._held[:_WINDOW]
        answer_at = _answer_at(window, final=final or len(window) == _WINDOW)
        may_follow = not final and len(window) < _WINDOW
        is_blank = answer_at is not None and not window[answer_at:].strip()
        return None if is_blank and may_follow else answer_at

    def _repeated(self, text: str) -> int:
        """Counts the characters at the start of `text` that were said already."""
        compared = self._repetition.text
        folded = compared.folded
        for length in self._repetition.lengths():
            is_whole = len(folded) == length or not folded[length].isalnum()
            if is_whole:
                if self._is_repetition(self._said[-length:], text):
                    return compared.end(length)
            elif self._given[-1].isalnum() and length >= _SHORTEST_FRAGMENT:
                return compared.end(length)
        return 0

    def _is_repetition(self, tail: str, text: str) -> bool:
        """Returns whether the return of the last words is a repetition rather than chance."""
        if len(tail) >= _SHORTEST_REPEAT or " " in tail:
            return True
        if self._in_words:
            word = tail.strip(".,;:!?…\"'()")
            return not any(c.isdigit() for c in word) and word not in _SAID_TWICE
        has_letters = any(c.isalpha() for c in tail)
        return len(tail) >= _SHORTEST_FRAGMENT and has_letters and not text[0].isspace()

    def _needs_space(self, rest: str) -> bool:
        if not rest or _NO_SPACE_BEFORE.match(rest):
            return False
        return not (_UNSPACED.match(rest) or _UNSPACED.match(self._given[-1]))


def _answer_at(text: str, *, final: bool) -> int | None:
    """Returns the offset of the answer after any remark about continuing; None: more must come."""
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    answer = at = 0
    while True:
        rest = text[at:]
        if opener := _OPENER.match(rest):
            if opener.end() == len(rest) and not final:
                return None
            answer = at = at + opener.end()
            continue
        if not rest.strip() or not _may_be_remark(rest):
            return answer
        sentence = _SENTENCE.match(rest)
        if sentence is None and not final:
            too_long = len(rest.strip(" \t\n.:!?…")) > _LONGEST_REMARK
            return answer if too_long else None
        said = sentence[0] if sentence else rest
        if _REMARK.fullmatch(said):
            answer = at = at + len(said)
        elif _WEAK_OPENER.fullmatch(said):
            at += len(said)  # a remark only if another remark follows
        else:
            return answer


def _may_be_remark(text: str) -> bool:
    text = text.lstrip().lower()
    return any(text.startswith(start) or start.startswith(text) for start in _REMARK_STARTS)


def _lowered(rest: str) -> str:
    """Lowers a capital on a small word in the middle of a sentence: a restart, not a name."""
    word = re.match(r"\s*(\w+)", rest)
    if word and word[1].lower() in _SMALL_WORDS:
        at = word.start(1)
        return rest[:at] + rest[at].lower() + rest[at + 1 :]
    return rest


def _may_be_small_word(rest: str) -> bool:
    """Returns whether an unfinished word with a capital may become a small word."""
    word = rest.lstrip()
    return (
        word.isalpha()
        and word[0].isupper()
        and any(small.startswith(word.lower()) for small in _SMALL_WORDS)
    )


def _word_starts(folded: str) -> list[int]:
    return [
        i
        for i in range(len(folded))
        if i == 0 or folded[i - 1] == " " or _UNSPACED.match(folded[i])
    ]
