"""Reads colour themes in btop's form, and its lines `name = "value"` of settings. Pure.

The form: aristocratos/btop, themes/default.theme.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

_COLOUR = re.compile(r"""^\s*theme\[(\w+)\]\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", re.MULTILINE)
_HEX = re.compile(r"#([0-9A-Fa-f]{6})")
_GREY = re.compile(r"#([0-9A-Fa-f]{2})")
_DECIMAL = re.compile(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})")
_MOST = 255

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "main_fg": "#cccccc",
        "title": "#eeeeee",
        "hi_fg": "#b54040",
        "selected_bg": "#6a2f2f",
        "selected_fg": "#eeeeee",
        "inactive_fg": "#404040",
        "cpu_box": "#556d59",
        "mem_box": "#6c6c4b",
        "div_line": "#303030",
        "temp_start": "#4897d4",
        "temp_mid": "#5474e8",
        "temp_end": "#ff40b6",
        "cpu_start": "#77ca9b",
        "cpu_mid": "#cbc06c",
        "cpu_end": "#dc4c4c",
    }
)
"""btop's own colours, for those that a theme leaves out."""
_STAND_INS: Mapping[str, str] = MappingProxyType(
    {
        "graph_text": "inactive_fg",
        "meter_bg": "inactive_fg",
        "process_start": "cpu_start",
        "process_mid": "cpu_mid",
        "process_end": "cpu_end",
    }
)
"""The colour that takes the place of one that a theme leaves out."""


def read_theme(text: str) -> dict[str, str]:
    """Returns the colours of a theme as `#rrggbb`, by btop's names.

    Those that the theme leaves out, or that are none, have btop's defaults. `main_bg` is missing
    where the theme leaves the terminal its own background.
    """
    given = {}
    for name, *values in _COLOUR.findall(text):
        if colour := _read_colour("".join(values)):
            given[name] = colour
    colours = {**DEFAULTS, **given}
    for gradient in ("temp", "cpu", "process"):
        if f"{gradient}_start" in given:  # a gradient is taken whole, or not at all
            start = given[f"{gradient}_start"]
            end = given.get(f"{gradient}_end", start)
            colours[f"{gradient}_end"] = end
            colours[f"{gradient}_mid"] = given.get(f"{gradient}_mid") or _between(start, end)
    for name, stand_in in _STAND_INS.items():
        colours.setdefault(name, colours[stand_in])
    return colours


def read_setting(text: str, name: str) -> str:
    """Returns the value of a setting in the form of btop.conf; empty: it is not set."""
    found = re.search(rf"""(?m)^[ \t]*{re.escape(name)}[ \t]*=[ \t]*["']?([^"'#\r\n]*)""", text)
    return found[1].strip() if found else ""


def is_dark(colour: str) -> bool:
    """Returns whether a `#rrggbb` is dark, by the weights of ITU-R BT.601."""
    red, green, blue = _parts(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < _MOST / 2


def _read_colour(value: str) -> str:
    value = value.strip()
    if found := _HEX.fullmatch(value):
        return f"#{found[1].lower()}"
    if found := _GREY.fullmatch(value):
        return f"#{found[1].lower() * 3}"
    if found := _DECIMAL.fullmatch(value):
        parts = [int(part) for part in found.groups()]
        if max(parts) <= _MOST:
            return "#" + "".join(f"{part:02x}" for part in parts)
    return ""


def _between(start: str, end: str) -> str:
    pairs = zip(_parts(start), _parts(end), strict=True)
    return "#" + "".join(f"{(one + other) // 2:02x}" for one, other in pairs)


def _parts(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
