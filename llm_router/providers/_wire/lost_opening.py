"""Learns whether a model's reasoning comes without the tag that opens it."""

from collections.abc import Iterator
from contextlib import contextmanager

from llm_router.providers._wire.machine_text import MachineTextFilter, text_filter
from llm_router.types import ChatRequest

_MOST_UNDECIDED = 3


class LostOpening:
    """The lesson of one connection's replies: whether the opening tag is missing.

    Templates of reasoning models write the opening tag into the prompt, so that only the closing
    one is generated. The first reply tells; in those after it the words before that tag are
    reasoning. A reply that ends without the tag was words, and ends the belief, as do several
    that were not read to their end.
    """

    def __init__(self) -> None:
        self._is_expected = False
        self._undecided = 0

    @contextmanager
    def filter(self, request: ChatRequest) -> Iterator[MachineTextFilter]:
        """Yields the filter for one reply, and learns from it."""
        text = text_filter(request, begins_in_thought=self._is_expected)
        is_whole = False
        try:
            yield text
            is_whole = True
        finally:
            self._learn(text, is_whole=is_whole)

    def _learn(self, text: MachineTextFilter, *, is_whole: bool) -> None:
        if text.lacks_opening:
            self._is_expected = True
            self._undecided = 0
        elif text.is_undecided:
            self._undecided += 1
            self._is_expected = not is_whole and self._undecided < _MOST_UNDECIDED
