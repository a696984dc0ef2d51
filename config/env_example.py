"""Writes `.env.example` from the settings: `python -m config.env_example`."""

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from config.settings import Settings

TARGET = Path(__file__).parents[1] / ".env.example"
HEAD = """\
# Copy this file to .env and change what you need. A variable that is set in the environment wins
# over this file; an empty one counts as not set. Generated: python -m config.env_example
"""


def render() -> str:
    sections = [section for section in Settings.__bases__ if hasattr(section, "model_fields")]
    return HEAD + "".join(_section(section) for section in sections)


def _section(section: Any) -> str:
    title = f"# ---- {section.__doc__} "
    fields = (_variable(name, field) for name, field in section.model_fields.items())
    return f"\n{title:-<100}\n" + "\n".join(fields)


def _variable(name: str, field: FieldInfo) -> str:
    reason = textwrap.wrap(
        " ".join((field.description or "").split()),
        width=100,
        initial_indent="# ",
        subsequent_indent="# ",
    )
    default = None if field.is_required() else field.default
    return "\n".join([*reason, f"{name.upper()}={_text(default)}"]) + "\n"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
