"""Splits a text that is still being written into pieces that a TTS engine can speak."""

import re

from livekit.agents.tokenize import SentenceStream, SentenceTokenizer, TokenData

# White space must follow, or "3.5" would be split while it comes in; a period after a single
# letter, a number or a title ends an abbreviation or an ordinal ("p.m.", "3. Mai", "Dr. Who").
_PERIOD = r"(?<!\d)(?<!\b\w)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bSt)(?<!\bMrs)\."
_SENTENCE_END = rf"(?:{_PERIOD}|[!?…])[\"'”’»)\]]*\s+|[。！？।]\s*|\n\s*"
_CLAUSE_END = rf"(?P<sentence>{_SENTENCE_END})|[,;:—–]\s+|[，、；：]\s*"
_SHORTEST = 10
"""Characters of a clause that is spoken alone; a shorter one is spoken with its neighbours."""


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
            if _is_speakable(piece) and not (is_tiny and (pieces or follows)):
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


def _is_speakable(text: str) -> bool:
    return any(character.isalnum() for character in text)
