"""Reads a file of calls to plan: CSV with a header line, or JSON Lines. No I/O."""

import csv
import difflib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from llm_router.errors import ConfigurationError
from llm_router.voice.faults import explain
from llm_router.voice.phone.plan import TOO_EARLY, CallPlan, is_too_early

MAX_SIZE = 20_000_000
"""Characters of a file that is read."""
_VARIABLE = "variables."
"""Beginning of the name of a CSV column whose values are those of a variable."""
_MAX_LINE = 100_000
_COLUMNS = ", ".join([name for name in CallPlan.model_fields if name != "variables"])


def read_plans(text: str, where: str, now: datetime | None = None) -> list[CallPlan]:
    """Returns the plans of a file, in its order.

    A file whose first character is { has one JSON object a line. Any other is CSV with commas,
    semicolons or tabs: its columns are the fields of a plan, `variables.NAME` for each variable,
    and pauses have spaces between them. Raises ConfigurationError, which names the line and the
    field, and no value of either; with `now` also for one that begins more than a year later.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_SIZE:
        raise ConfigurationError(f"{where}: is too long; it may have {MAX_SIZE:,} characters")
    lines = _json_lines(text, where) if text.lstrip().startswith("{") else _csv_lines(text, where)
    plans = [_plan(fields, f"{where}, line {number}", now) for number, fields in lines]
    if not plans:
        raise ConfigurationError(f"{where}: has no calls; write a header line and one call a line")
    return plans


def _json_lines(text: str, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):  # a text may have other line ends
        if not line.strip():
            continue
        try:
            fields = json.loads(line) if len(line) <= _MAX_LINE else None
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise ConfigurationError(f"{where}, line {number}: is no JSON object; correct it")
        yield number, fields


def _csv_lines(text: str, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(text))
    try:
        _check_header(rows.fieldnames or (), where)
        for row in rows:
            if None in row:
                raise ConfigurationError(
                    f"{where}, line {rows.line_num}: has more values than the header has names; put"
                    " a value with a comma in quotes"
                )
            yield rows.line_num, _of_row(row)
    except csv.Error as error:
        raise ConfigurationError(f"{where}, line {rows.line_num}: {error}") from None


def _delimiter(text: str) -> str:
    """Returns what stands between the names of the header; Excel's choice depends on a language."""
    header = text.lstrip("\n").partition("\n")[0]
    return max(",;\t", key=header.count)


def _check_header(names: Sequence[str], where: str) -> None:
    bare = [name.strip() for name in names]
    for name in bare:
        place = f"{where}, line 1: {name[:64]!r}"
        if name and bare.count(name) > 1:
            raise ConfigurationError(f"{place}: is there twice; remove one of the columns")
        if name and not name.startswith(_VARIABLE) and name not in CallPlan.model_fields:
            near = difflib.get_close_matches(name.lower(), CallPlan.model_fields, 1)
            cure = f"did you mean {near[0]}?" if near else f"the columns are {_COLUMNS}"
            raise ConfigurationError(f"{place}: there is no such column; {cure}")


def _of_row(row: Mapping[str, str | None]) -> dict[str, Any]:
    given = {name.strip(): value.strip() for name, value in row.items() if value and value.strip()}
    fields: dict[str, Any] = {
        name: value for name, value in given.items() if not name.startswith(_VARIABLE)
    }
    fields["variables"] = {
        name.removeprefix(_VARIABLE): value
        for name, value in given.items()
        if name.startswith(_VARIABLE)
    }
    if pauses := fields.get("retry_after_minutes"):
        fields["retry_after_minutes"] = pauses.replace(",", " ").split()
    if (detects := str(fields.get("detect_machine", "")).lower()) in {"true", "false"}:
        fields["detect_machine"] = detects == "true"
    return fields


def _plan(fields: Mapping[str, Any], where: str, now: datetime | None) -> CallPlan:
    try:
        plan = CallPlan.model_validate(fields)
    except ValidationError as error:
        # Not chained: the cause would hold the values.
        raise ConfigurationError(f"{where}: {explain(error)}") from None
    if now and is_too_early(plan, now):
        raise ConfigurationError(f"{where}: earliest: {TOO_EARLY}")
    return plan
