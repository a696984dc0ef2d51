"""Normalizes text from a recogniser or a keyboard for comparison."""

import re
import unicodedata

_APOSTROPHES = str.maketrans("", "", "'’ʼ`")
_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Returns the text in lower case, without accents and apostrophes."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return letters.translate(_APOSTROPHES)


def words(text: str) -> list[str]:
    return _WORD.findall(fold(text))
