"""Finds how much of a text repeats the end of another, in time that grows with their length alone.

The text arrives in pieces, and both are compared *folded*: in lower case, with single spaces.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence


class Folder:
    """Folds a text that arrives in pieces; spaces at its ends are left out."""

    def __init__(self, text: str = "") -> None:
        self.folded = ""
        self.positions: list[int] = []
        """For each folded character its position in the text."""
        self._length = 0
        self._space = False
        self.feed(text)

    def feed(self, text: str) -> str:
        """Adds a piece of the text; returns the folded characters that it adds."""
        added: list[str] = []
        for index, character in enumerate(text, self._length):
            if character.isspace():
                self._space = bool(self.positions)
                continue
            if self._space:
                added.append(" ")
                self.positions.append(index - 1)
                self._space = False
            # lower(), not casefold(): one character must stay one, or positions would drift.
            added.append(character.lower()[:1] or character)
            self.positions.append(index)
        self._length += len(text)
        piece = "".join(added)
        self.folded += piece
        return piece

    def end(self, length: int) -> int:
        """Returns the position in the text at which its first `length` folded characters end."""
        if length < len(self.positions):
            return self.positions[length]
        return self.positions[-1] + 1 if self.positions else 0


class Repetition:
    """Compares a text that arrives in pieces with the end of words that were said before.

    `said`: those words, folded; `starts`: the places in them where a repetition may begin, in
    order.
    """

    def __init__(self, said: str, starts: Sequence[int]) -> None:
        self._said = said
        self._starts = starts
        self._candidate = starts[0] if starts else -1
        self.text = Folder()

    def feed(self, text: str) -> None:
        before = len(self.text.folded)
        piece = self.text.feed(text)
        if self._candidate >= 0 and not self._said.startswith(piece, self._candidate + before):
            self._candidate = self._next_candidate()

    @property
    def may_go_on(self) -> bool:
        """Whether all of the text so far is a repetition, so that more of it may be one."""
        return self._candidate >= 0

    def _next_candidate(self) -> int:
        """Returns the first start, after the one that has failed, at which the text is said.

        Starts before that one have failed for a part of the text, and so fail for all of it.
        """
        start = self._candidate + 1
        while (start := self._said.find(self.text.folded, start)) >= 0:
            place = bisect_left(self._starts, start)
            if place == len(self._starts):
                return -1
            if self._starts[place] == start:
                return start
            start = self._starts[place]
        return -1

    def lengths(self) -> Iterator[int]:
        """Yields the lengths, longest first, in which the text begins as the words end (KMP)."""
        pattern = self.text.folded[: len(self._said)]
        borders = _borders(pattern)
        length = 0
        for character in self._said[len(self._said) - len(pattern) :]:
            while length and (length == len(pattern) or pattern[length] != character):
                length = borders[length - 1]
            length += bool(pattern) and pattern[length] == character
        while length:
            start = len(self._said) - length
            place = bisect_left(self._starts, start)
            if place < len(self._starts) and self._starts[place] == start:
                yield length
            length = borders[length - 1]


def _borders(pattern: str) -> list[int]:
    """Returns for each beginning of a pattern the length of its longest border: a shorter beginning
    that is also its end (Knuth, Morris and Pratt, 1977).
    """
    borders = [0] * len(pattern)
    length = 0
    for index in range(1, len(pattern)):
        while length and pattern[length] != pattern[index]:
            length = borders[length - 1]
        length += pattern[length] == pattern[index]
        borders[index] = length
    return borders
