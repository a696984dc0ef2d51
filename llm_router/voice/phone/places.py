"""Finds the line of a TOML file on which a value stands, which its parser does not say. Pure."""

import re
from collections.abc import Iterator, Sequence

_HEADER = re.compile(r"""\s*\[{1,2}\s*([A-Za-z]+)(?:\s*\.\s*["']?([^"'\]]+?)["']?)?\s*\]""")


def line_of(text: str, place: Sequence[str | int]) -> str:
    """Returns ", line 12" for a place such as trunks, 1, name; empty: it is not found.

    That is the line of its key, or else of its table's header. A list inside of brackets has no
    header, and is not found.
    """
    if not place:
        return ""
    lines = text.split("\n")
    table, *rest = place
    number = rest.pop(0) if rest and isinstance(rest[0], int) else 0
    name = str(rest.pop(0)) if table == "hours" and rest else ""
    headers = [at for at, found, inner in _headers(lines) if (found, inner) == (table, name)]
    if not isinstance(number, int) or number >= len(headers):
        return ""
    begin = headers[number]
    for at in range(begin + 1, len(lines)):
        if lines[at].lstrip().startswith("["):
            break
        if rest and re.match(rf"""\s*["']?{re.escape(str(rest[0]))}["']?\s*[.=]""", lines[at]):
            return f", line {at + 1}"
    return f", line {begin + 1}"


def _headers(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    for at, line in enumerate(lines):
        if found := _HEADER.match(line):
            yield at, found[1], found[2] or ""
