"""Collects what the marks in a reply enclose, and what is left outside them."""

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.arguments import JsonScanner
from llm_router.providers._wire.markers import Marker


class Output:
    """The words and the reasoning that a piece of text decides."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.thought: list[str] = []

    @property
    def has_words(self) -> bool:
        return any(text and not text.isspace() for text in self.words)


class Region:
    """The text that a mark began, until its end."""

    def __init__(self, marker: Marker) -> None:
        self.marker = marker
        self.ends = marker.ends
        self.body: list[str] = []
        self.size = 0
        self._scanner = JsonScanner()

    def add(self, text: str) -> None:
        self.body.append(text)
        self.size += len(text)
        if self.size > limits.WRITTEN_CALL:
            most = limits.WRITTEN_CALL
            raise BrokenStreamError(f"a call in the words has more than {most:,} characters")

    def scan(self, text: str) -> int:
        """Returns where the brackets that the text goes on with are closed; -1: not yet."""
        if not self.ends:
            return self._scanner.feed(text)
        (fence,) = self.ends
        before = "".join(self.body[-len(fence) :])[1 - len(fence) :] if self.body else ""
        place = (before + text).find(fence, 0 if self.body else len(fence))
        return -1 if place < 0 else place + len(fence) - len(before)
