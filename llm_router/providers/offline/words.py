"""Text as a recogniser or a keyboard gives it, made comparable."""

import re
import unicodedata

_APOSTROPHES = str.maketrans("", "", "'’ʼ`")
_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Lower case, without accents and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c)).translate(_APOSTROPHES)


def words(text: str) -> list[str]:
    return _WORD.findall(fold(text))
