"""Splits a text that is still being written into pieces that a TTS engine can speak."""

import re

from livekit.agents.tokenize import SentenceStream, SentenceTokenizer, TokenData

from agent.speech.spoken_text import sentence_continues

# White space must follow, or "3.5" would be split while it comes in; a period after a single
# letter or a number ends an abbreviation or an ordinal ("p.m.", "3. Mai").
_PERIOD = r"(?<!\d)(?<!\b\w)\."
_SENTENCE_END = rf"(?:{_PERIOD}|[!?…])[\"'”’»)\]]*\s+|[。！？।]\s*|\n\s*"
# After a letter a comma ends a clause whatever follows: it is in no number and no address.
_CLAUSE_END = rf"(?P<sentence>{_SENTENCE_END})|[,;:—–]\s+|(?<=[^\W\d_])[,;]\Z|[，、；：]\s*"
_SHORTEST = 10
"""Characters of a clause that is spoken alone; a shorter one is spoken with its neighbours."""
_BEFORE_RANGE = re.compile(r"(?:\d|\d ?[ap]\.?m\.?|%|[€$£]) ?$", re.IGNORECASE)


class TextSplitter(SentenceTokenizer):
    """Splits a text at its sentences, or at its clauses, as soon as each end is certain.

    The pieces joined are the text. LiveKit's own sentence tokenizer holds back a sentence until 20
    letters are together and the next sentence has begun: a caller would wait for "Sure.".

    A clause of a few letters is joined to the next: word by word, a list would sound like a list of
    sentences. The first clause of a text is not: its caller waits.
    """

    def __init__(self, *, at_clauses: bool) -> None:
        self._end = re.compile(_CLAUSE_END if at_clauses else _SENTENCE_END)

    def tokenize(self, text: str, *, language: str | None = None) -> list[str]:  # noqa: ARG002  one rule for all
        pieces, rest = self.split(text)
        return [*pieces, rest] if rest else pieces

    def stream(self, *, language: str | None = None) -> SentenceStream:  # noqa: ARG002  one rule for all
        return _PieceStream(self)

    def split(self, text: str, *, follows: bool = False) -> tuple[list[str], str]:
        """Returns the pieces that are complete, and the rest.

        A piece holds a letter or a digit: "…" is joined to the piece after it. `follows`: whether
        a piece came before the text.
        """
        pieces: list[str] = []
        start = 0
        for end in self._end.finditer(text):
            piece = text[start : end.end()]
            is_tiny = len(piece.strip()) < _SHORTEST and not end.groupdict().get("sentence", piece)
            is_joined = is_tiny and (pieces or follows)
            if _is_speakable(piece) and not is_joined and not _is_inside(text, end):
                pieces.append(piece)
                start = end.end()
        return pieces, text[start:]


class _PieceStream(SentenceStream):
    def __init__(self, splitter: TextSplitter) -> None:
        super().__init__()
        self._splitter = splitter
        self._rest = ""
        self._has_spoken = False

    def push_text(self, text: str) -> None:
        pieces, self._rest = self._splitter.split(self._rest + text, follows=self._has_spoken)
        for piece in pieces:
            self._give(piece)

    def flush(self) -> None:
        """Sends the rest. Without a letter or digit it is dropped, unless nothing was sent before:
        engines refuse such a text.
        """
        rest = self._rest
        self._rest = ""
        if rest and (_is_speakable(rest) or not self._has_spoken):
            self._give(rest)

    def end_input(self) -> None:
        self.flush()
        self._do_close()

    async def aclose(self) -> None:
        self._do_close()

    def _give(self, piece: str) -> None:
        self._has_spoken = True
        self._event_ch.send_nowait(TokenData(token=piece))


def _is_inside(text: str, end: re.Match[str]) -> bool:
    """Tells whether this is no end: that of an abbreviation, or the dash of a range ("9 – 5")."""
    mark = end[0][0]
    if mark == ".":
        return sentence_continues(_before(text, end.start() + 1), text[end.end() : end.end() + 1])
    return mark in "—–" and bool(_BEFORE_RANGE.search(_before(text, end.start())))


def _before(text: str, at: int) -> str:
    """Returns as much of the text before a place as an abbreviation can take."""
    return text[max(0, at - 24) : at]


def _is_speakable(text: str) -> bool:
    return any(character.isalnum() for character in text)
