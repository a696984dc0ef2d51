"""Rewrites the Prometheus series of model servers, so that each names its connection. Pure.

The text format is that of prometheus.io/docs/instrumenting/exposition_formats (0.0.4). What servers
send is taken apart and written anew: a line that is not understood is left out, since one wrong
line would cost Prometheus the whole page, the router's own series included.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PREFIXES = ("vllm:", "sglang:", "llamacpp:")
"""The names that are taken over. All others are those of any process, or could pose as ours."""
MOST_SERIES = 50_000
_MOST_OF_A_SERVER = 10_000
_LONGEST_LINE = 4_000
_LABEL_NAME = "[a-zA-Z_][a-zA-Z0-9_]*"
_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]{0,199})(?:[ \t]*\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?[ \t]*"
)
_LABEL = re.compile(rf'\s*({_LABEL_NAME})\s*=\s*"((?:[^"\\]|\\["\\n])*)"\s*(?:,|$)')
_VALUE = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|Inf)|NaN")
_ABOUT = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)")
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})
_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(slots=True)
class _Family:
    type: str = "untyped"
    help: str = ""
    series: dict[str, str] = field(default_factory=dict)
    """Value by name and labels, as text: a server that repeats a series is taken at its last."""


def relabel(pages: Iterable[tuple[str, str]]) -> str:
    """Returns one page of the series on `pages`, each of which has the name of its connection.

    The name becomes the label `connection`; a label of that name is renamed `exported_connection`,
    as Prometheus does. A series whose type differs from that of an earlier page is left out. At
    most 10,000 series of a server are taken, and 50,000 in all.
    """
    families: dict[str, _Family] = {}
    left = MOST_SERIES
    for connection, page in pages:
        taken = min(left, _MOST_OF_A_SERVER)
        for name, found in _families(page, connection, taken).items():
            known = families.setdefault(name, _Family(found.type, found.help))
            if known.type == found.type:
                known.series |= found.series
                left -= len(found.series)
    return "".join(_text(name, family) for name, family in families.items())


def _families(page: str, connection: str, most: int) -> dict[str, _Family]:
    """Returns the first `most` series of a page by family."""
    families: dict[str, _Family] = {}
    label = f'connection="{_escaped(connection)}"'
    number = 0
    for line in _lines(page):
        if about := _ABOUT.fullmatch(line):
            kind, name, said = about.groups()
            if not name.startswith(PREFIXES):
                continue
            family = families.setdefault(name, _Family())
            if kind == "HELP":
                family.help = said
            elif said in _TYPES:
                family.type = said
        elif (series := _series(line, label)) and number < most:
            number += 1
            name, text, value = series
            family = families.setdefault(_family_of(name, families), _Family())
            family.series[text] = value
    return families


def _lines(page: str) -> Iterator[str]:
    # Not splitlines, which takes characters of a label's value for ends of lines.
    return (line.rstrip("\r") for line in page.split("\n") if 0 < len(line) <= _LONGEST_LINE)


def _series(line: str, label: str) -> tuple[str, str, str] | None:
    """Returns the name of a sample, its name with all labels, and its value."""
    if not line.startswith(PREFIXES):
        return None
    sample = _SAMPLE.fullmatch(line)
    if sample is None or not _VALUE.fullmatch(sample[3]):
        return None
    labels = _labels(sample[2] or "")
    if labels is None:
        return None
    return sample[1], f"{sample[1]}{{{','.join([label, *labels])}}}", sample[3]


def _labels(text: str) -> list[str] | None:
    """Returns the labels in a sample's braces; None if they are not well-formed."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            return None
        name = f"exported_{found[1]}" if found[1] == "connection" else found[1]
        if name in labels:
            return None
        labels[name] = f'{name}="{found[2]}"'
        at = found.end()
    return [*labels.values()]


def _family_of(name: str, known: dict[str, _Family]) -> str:
    if name in known:
        return name
    for suffix in _SUFFIXES:
        if (family := name.removesuffix(suffix)) != name and family in known:
            return family
    return name


def _text(name: str, family: _Family) -> str:
    if not family.series:
        return ""
    lines = [f"# HELP {name} {family.help}"] if family.help else []
    lines.append(f"# TYPE {name} {family.type}")
    lines += [f"{series} {value}" for series, value in family.series.items()]
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
