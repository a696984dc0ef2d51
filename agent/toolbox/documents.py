"""Finds passages in a folder of texts by their words, with SQLite's own full-text index.

The index is in memory and holds paragraphs and list items, each with the heading above it. It is
made anew when a file has changed.
"""

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_ENDINGS = frozenset({".md", ".txt"})
_MAX_FILES = 200
_MAX_FILE = 256 * 1024
"""Bytes of a file; a larger one is left out."""
_MAX_TOTAL = 4 * 1024 * 1024
_MAX_PASSAGE = 600
"""Characters of a passage; a longer paragraph is several."""
_MAX_WORDS = 40
"""Words of a question that are searched for."""
_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"#{1,6}\s+(.+?)\s*#*")
_ITEM = re.compile(r"(?:[-*+]|\d{1,3}[.)])\s+")
_MARKUP = re.compile(r"[*_`]{1,3}|!?\[([^\]]*)\]\([^)]*\)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_COMMON = frozenset(
    {
        "a", "an", "and", "are", "at", "be", "can", "did", "do", "does", "for", "from", "have",
        "how", "i", "in", "is", "it", "me", "my", "of", "on", "or", "please", "tell", "that", "the",
        "there", "they", "this", "to", "was", "we", "what", "when", "where", "which", "who", "will",
        "with", "you", "your",
    }
)  # fmt: skip
"""English words that are in every question. Other languages have their weight from the index."""
_logger = logging.getLogger("patchbay.tools")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text, with the heading above it and the name of its file."""

    file: str
    heading: str
    text: str


class Documents:
    """The texts of one folder, none until `load` or a search has read them.

    Its methods block, and may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: Sequence[tuple[str, int, int]] = ()
        self._index = _new_index()

    @property
    def is_empty(self) -> bool:
        """Whether there was no text to search when the folder was last read."""
        return not self._seen

    def load(self) -> None:
        """Reads the folder, so that no call waits for it."""
        with self._lock:
            self._refresh()

    def search(self, question: str, most: int = 4) -> Sequence[Passage]:
        """Returns the passages that fit a question best, best first; none if no word is found."""
        words = [word.lower() for word in _WORD.findall(question)]
        rare = [word for word in words if word not in _COMMON]
        if not rare:
            return ()
        query = " OR ".join(f'"{word}"' for word in dict.fromkeys(rare[:_MAX_WORDS]))
        with self._lock:
            self._refresh()
            rows = self._index.execute(
                "SELECT file, heading, text FROM passages WHERE passages MATCH ?"
                " ORDER BY bm25(passages, 0, 2, 1) LIMIT ?",
                (query, most),
            )
            return [Passage(*row) for row in rows]

    def _refresh(self) -> None:
        """Makes the index anew if a file has come, gone or changed."""
        files = _files(self._folder)
        seen = [(str(path), stat.st_mtime_ns, stat.st_size) for path, stat in files]
        if seen == self._seen:
            return
        self._seen = seen
        self._index.close()
        self._index = _new_index()
        total = 0
        for path, stat in files:
            total += stat.st_size
            if stat.st_size > _MAX_FILE or total > _MAX_TOTAL:
                _logger.warning("documents: %s is too large to be searched", path.name)
                continue
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                _logger.warning("documents: %s cannot be read: %s", path.name, error.strerror)
                continue
            rows = ((path.name, passage.heading, passage.text) for passage in split(text))
            self._index.executemany("INSERT INTO passages VALUES (?, ?, ?)", rows)


def load_documents(folder: Path | None) -> Documents | None:
    """Reads the texts of the agent; a folder without any is logged, and ends no call."""
    if folder is None:
        return None
    documents = Documents(folder)
    documents.load()
    if documents.is_empty:
        _logger.warning(
            "DOCUMENTS_FOLDER=%s has no text (.md, .txt): the agent searches none", folder
        )
    return documents


def split(text: str, file: str = "") -> Iterator[Passage]:
    """Yields the passages of a Markdown or plain text."""
    heading = ""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        title = _HEADING.fullmatch(stripped)
        item = _ITEM.match(stripped)
        if title or item or not stripped:
            yield from _passages(file, heading, lines)
            lines = []
        if title:
            heading = _plain(title[1])
        elif stripped and set(stripped) - set("-=|: "):
            lines.append(stripped[item.end() :] if item else stripped)


def _passages(file: str, heading: str, lines: Sequence[str]) -> Iterator[Passage]:
    text = ""
    for sentence in _SENTENCE.split(_plain(" ".join(lines))):
        if text and len(text) + len(sentence) >= _MAX_PASSAGE:
            yield Passage(file, heading, text)
            text = ""
        text = f"{text} {sentence}".strip()
        while len(text) > _MAX_PASSAGE:
            yield Passage(file, heading, text[:_MAX_PASSAGE])
            text = text[_MAX_PASSAGE:]
    if text:
        yield Passage(file, heading, text)


def _plain(text: str) -> str:
    return " ".join(_MARKUP.sub(lambda m: m[1] or "", text).replace("|", " ").split())


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Lists the texts of a folder in the order of their names. Links that leave it are no texts."""
    try:
        root = folder.resolve(strict=True)
        named = sorted(path for path in root.iterdir() if path.suffix.lower() in _ENDINGS)
        inside = (path for path in named if path.resolve().parent == root and path.is_file())
        return [(path, path.stat()) for path in islice(inside, _MAX_FILES)]
    except OSError:
        return []


def _new_index() -> sqlite3.Connection:
    index = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    index.execute(
        "CREATE VIRTUAL TABLE passages USING fts5(file UNINDEXED, heading, text,"
        " tokenize = 'porter unicode61 remove_diacritics 2')"
    )
    return index
