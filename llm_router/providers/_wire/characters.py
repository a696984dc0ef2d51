"""Makes text that can be encoded as UTF-8 of what servers write.

Some servers split an emoji into two surrogates, or into bytes, over two chunks; others lose one of
the halves. A lone half cannot be encoded: it would break whatever stores or speaks the text later.
"""

import re

_REPLACEMENT = "\ufffd"
_INVISIBLE = "\u200b\u2060\ufeff"
"""Characters without width or sound: a space of no width, a joiner, a byte order mark."""
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte; U+DC80 to U+DCFF do (PEP 383)."""
_UNFINISHED = re.compile(
    "(?:[\ud800-\udbff]"
    "|[\udcc2-\udcdf]"
    "|[\udce0-\udcef][\udc80-\udcbf]?"
    "|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})\\Z"
)
"""The first half of a character at the end of a text: one surrogate of two, or bytes of UTF-8."""


def decode(data: bytes) -> str:
    """Decodes UTF-8. A byte that is none becomes a surrogate, which joins its other half later."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="surrogateescape")


def mend(text: str) -> str:
    """Joins the halves of characters, and replaces halves that stand alone."""
    return text if _is_sound(text) else _mend(_join_pairs(text))


class CharacterJoiner:
    """Mends the text of a stream, in which a character may be split over two chunks."""

    def __init__(self) -> None:
        self._held = ""  # the first half of a character
        self._has_begun = False

    def feed(self, text: str) -> str:
        """Returns the text as far as its characters are complete. Drops NUL, which is no text, and
        what cannot be seen before the first word: alone it would pass for words.
        """
        if "\0" in text:
            text = text.replace("\0", "")
        if not self._has_begun:
            text = text.lstrip(_INVISIBLE)
            self._has_begun = bool(text)
        if self._held:
            text, self._held = self._held + text, ""
        try:
            text.encode()
        except UnicodeEncodeError:
            text = _join_pairs(text)
        else:  # the usual case
            return text
        if half := _UNFINISHED.search(text):
            text, self._held = text[: half.start()], half[0]
        return _mend(text)

    def close(self) -> str:
        """Returns the replacement of a half whose other half never came; usually nothing."""
        held, self._held = self._held, ""
        return _REPLACEMENT if held else ""


def _is_sound(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _join_pairs(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _mend(text: str) -> str:
    data = _NO_BYTE.sub(_REPLACEMENT, text).encode(errors="surrogateescape")
    return data.decode(errors="replace")
