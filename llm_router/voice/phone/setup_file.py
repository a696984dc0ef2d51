"""Reads the telephone's file, which is TOML. No I/O."""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from llm_router.connections.json_shape import is_within
from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import NAME_PATTERN
from llm_router.voice.phone.opening import OpeningHours
from llm_router.voice.phone.places import line_of
from llm_router.voice.phone.records import UnsetSecret
from llm_router.voice.phone.setup import (
    KEY_PATTERN,
    PREFIX_PATTERN,
    Media,
    Outbound,
    Person,
    PhoneNumber,
    PhoneSetup,
    SipService,
    Trunk,
    Voicemail,
)

MAX_SIZE = 10_000_000
"""Characters of a file that is read."""
_MAX_VALUES = 300_000
"""Values of a file, nested ones included."""
_MAX_LEVELS = 8

_RECORDS: Mapping[str, type[BaseModel]] = {
    "media": Media,
    "service": SipService,
    "trunks": Trunk,
    "numbers": PhoneNumber,
    "hours": OpeningHours,
    "voicemail": Voicemail,
    "outbound": Outbound,
    "people": Person,
}
_LISTS = frozenset({"trunks", "numbers", "people"})
_SECRETS = frozenset({"password", "inbound_password"})
_PATTERNS = {
    NAME_PATTERN: 'should be small letters, digits, - and _, such as "tea-shop"',
    KEY_PATTERN: "should be one key: 0 to 9, * or #",
    PREFIX_PATTERN: 'should be + and digits alone, such as "+49"',
}
"""Sentences in place of the patterns that a text does not match."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,99})\}")


def read_phone(
    text: str, where: str, environ: Mapping[str, str], shown: Collection[str] | None = None
) -> PhoneSetup:
    """Returns the set-up of a file; a value "${NAME}" is that of the variable.

    Outside of passwords only the variables of `shown` may be named; None: any. A password whose
    variable is not set is an UnsetSecret. Raises ConfigurationError, which names the file, `where`,
    the table, the key and a cure, and never the value of a secret.
    """
    if len(text) > MAX_SIZE:
        raise ConfigurationError(f"{where}: is too long; it may have {MAX_SIZE:,} characters")
    text = text.removeprefix("\ufeff")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where}: is not valid TOML: {error}; correct it") from None
    except RecursionError:
        raise ConfigurationError(f"{where}: is nested too deep; write plain tables") from None
    return check_phone(tables, where, environ, text, shown)


def shown_variables(text: str) -> frozenset[str]:
    """Returns the variables that a file names outside of passwords; of one with a fault, none."""
    try:
        tables = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return frozenset()
    if not is_within(tables, values=_MAX_VALUES, levels=_MAX_LEVELS):
        return frozenset()
    return frozenset(_shown_in(tables))


def _shown_in(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _shown_in(inner, is_secret=name in _SECRETS)
    elif isinstance(value, list):
        for inner in value:
            yield from _shown_in(inner)
    elif isinstance(value, str) and not is_secret and (named := _VARIABLE.fullmatch(value.strip())):
        yield named[1]


def check_phone(
    tables: Mapping[str, Any],
    where: str,
    environ: Mapping[str, str],
    text: str = "",
    shown: Collection[str] | None = None,
) -> PhoneSetup:
    """Returns the set-up of a file's tables. Raises ConfigurationError as `read_phone` does, with
    the line of the `text` from which they are.
    """
    if not is_within(tables, values=_MAX_VALUES, levels=_MAX_LEVELS):
        raise ConfigurationError(f"{where}: holds more than {_MAX_VALUES:,} values, or nests them")
    try:
        values = _Variables(tables, where, environ, shown).fill(tables)
        return PhoneSetup.model_validate(values)
    except _RefusedError as error:
        line = line_of(text, error.place)
        raise ConfigurationError(f"{where}{line}: {_place(error.place, tables)}: {error}") from None
    except ValidationError as error:
        place, message = _explain(error, tables)
        # Not chained: the cause would hold the values.
        raise ConfigurationError(f"{where}{line_of(text, place)}: {message}") from None


class _RefusedError(Exception):
    """A value at a place of the file that is refused."""

    def __init__(self, place: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True, slots=True)
class _Variables:
    """Replaces each "${NAME}" in the tables of a file."""

    tables: Mapping[str, Any]
    where: str
    environ: Mapping[str, str]
    shown: Collection[str] | None

    def fill(self, value: Any, place: tuple[str | int, ...] = ()) -> Any:
        if isinstance(value, dict):
            return {name: self.fill(inner, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner, (*place, number)) for number, inner in enumerate(value)]
        return self._fill_text(value, place) if isinstance(value, str) else value

    def _fill_text(self, text: str, place: tuple[str | int, ...]) -> str | UnsetSecret:
        is_secret = bool(place) and place[-1] in _SECRETS
        if named := _VARIABLE.fullmatch(text.strip()):
            if not is_secret and self.shown is not None and named[1] not in self.shown:
                raise _RefusedError(
                    place,
                    "a variable may be named here for a password alone, since all else is shown;"
                    " write the value itself, or change the file on its machine",
                )
            if found := self.environ.get(named[1]):
                return found
            why = f"the variable {named[1]} is not set; write it into .env"
            if is_secret:
                return UnsetSecret(f"{self.where}: {_place(place, self.tables)}: {why}")
            raise _RefusedError(place, why)
        if is_secret:
            # Others read this file, and it is easily committed.
            raise _RefusedError(
                place,
                'write "${VARIABLE}", with a name of your own, and the password in that variable,'
                " as in .env",
            )
        return text


def _explain(error: ValidationError, tables: Mapping[str, Any]) -> tuple[Sequence[str | int], str]:
    """Returns the place of the first fault, and a sentence about it."""
    (fault, *more) = error.errors(include_url=False, include_input=False, include_context=False)
    others = f" (and {len(more)} more)" if more else ""
    message = fault["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Value) should", "should", message)
    if fault["type"] == "string_pattern_mismatch":
        says = (text for pattern, text in _PATTERNS.items() if f"'{pattern}'" in message)
        message = next(says, message)
    elif fault["type"] == "string_type":
        message = 'should be in quotes, such as "100"'
    place: list[str | int] = [part for part in fault["loc"] if part != "[key]"]
    in_file = place
    if fault["type"] == "extra_forbidden":
        *place, wrong = place
        message = f"there is no key {str(wrong)[:64]!r}; {_suggest(str(wrong), place)}"
    elif fault["type"] == "missing":
        *place, absent = place
        message = f"{absent}: is missing; write it"
    elif fault["type"] in {"model_type", "dict_type", "tuple_type"} and place:
        message = f"should be {_shape(place)}"
    if not place and (named := re.match(r"\[\[(\w+)\]\] (\d+): (\w+)", message)):
        in_file = [named[1], int(named[2]) - 1, named[3]]
    elif not place and (named := re.match(r"\[(\w+)\]: (\w+)", message)):
        in_file = [named[1], named[2]]
    where = _place(place, tables)
    return in_file, f"{where}: {message}{others}" if where else f"{message}{others}"


def _suggest(wrong: str, place: Sequence[str | int]) -> str:
    record = _RECORDS.get(str(place[0])) if place else None
    names = [*(record.model_fields if record else _RECORDS)]
    near = difflib.get_close_matches(wrong, names, 1)
    return f"did you mean {near[0]}?" if near else f"the keys are {', '.join(names)}"


def _shape(place: Sequence[str | int]) -> str:
    table = str(place[0])
    if len(place) > 1 and not (table in _LISTS and len(place) == 2) and table != "hours":  # noqa: PLR2004
        return 'a list in brackets, such as ["..."]'
    if table in _LISTS:
        return f"tables that begin with [[{table}]], in double brackets"
    if table == "hours" and len(place) > 2:  # noqa: PLR2004
        return 'a list in brackets, such as ["9:00-18:00"]'
    return f"a table that begins with [{table}{'.<name>' if table == 'hours' else ''}]"


def _place(place: Sequence[str | int], tables: Mapping[str, Any]) -> str:
    """Names a place as the file does: [[trunks]] 2 "main": password."""
    if not place:
        return ""
    table, *rest = place
    if table in _LISTS and rest and isinstance(number := rest[0], int):
        rest = rest[1:]
        head = f"[[{table}]] {number + 1}{_title(tables, str(table), number)}"
    elif table == "hours" and rest:
        name, *rest = rest
        head = f"[hours.{str(name)[:64]}]"
    else:
        head = f"[{str(table)[:64]}]"
    names = [str(part)[:64] for part in rest if isinstance(part, str)]
    return ": ".join([head, *([".".join(names)] if names else [])])


def _title(tables: Mapping[str, Any], table: str, number: int) -> str:
    listed = tables.get(table)
    entry = listed[number] if isinstance(listed, list) and number < len(listed) else None
    title = entry.get("number" if table == "numbers" else "name") if isinstance(entry, dict) else ""
    return f' "{title[:64]}"' if isinstance(title, str) and title.isprintable() and title else ""
