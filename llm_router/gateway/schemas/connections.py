"""Defines connections as JSON.

The fields are those of the record itself: a field that is added there appears here, with its limits
and the docstring below it.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from dataclasses import Field as RecordField
from itertools import pairwise
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    computed_field,
    create_model,
)

from llm_router.connections.record import (
    MAX_LENGTHS,
    MAX_TIMEOUT,
    NUMBER_RANGES,
    SECRET_FIELDS,
    STORE_MANAGED_FIELDS,
    Connection,
    ConnectionType,
)
from llm_router.connections.store import SortField
from llm_router.gateway.schemas.base import Page, PageQuery, ShortText, StrictModel

_EXAMPLE: dict[str, JsonValue] = {
    "name": "cellar",
    "connection_type": "local",
    "base_url": "http://10.0.0.5:8000/v1",
    "model_name": "qwen3-4b",
    "priority": 0,
    "tags": ["gpu"],
}
_READ_EXAMPLE: dict[str, JsonValue] = {
    **_EXAMPLE,
    "id": "6f0c7ad4-8a5e-4a8e-9f53-0d4a3f2b7c11",
    "api_key_set": True,
    "api_key_last4": "wxyz",
    "status": "active",
    "owner": "anna",
    "version": 3,
}
_SETTABLE = frozenset(f.name for f in fields(Connection)) - frozenset(STORE_MANAGED_FIELDS) - {
    "id"
} | {"owner"}
_NUMBERS = frozenset({"int", "float", "bool"})


def _docstrings() -> Mapping[str, str]:
    """Returns the docstring below each field of the record."""
    record = ast.parse(textwrap.dedent(inspect.getsource(Connection))).body[0]
    lines = record.body if isinstance(record, ast.ClassDef) else []
    return {
        line.target.id: inspect.cleandoc(below.value.value)
        for line, below in pairwise(lines)
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }


_DOCSTRINGS = _docstrings()
_HINTS = get_type_hints(Connection)


def _default(field: RecordField[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else ...


def _settable(*, needs_name: bool) -> dict[str, Any]:
    """Returns each field with its limits, and with its default if the record is a new one."""
    made: dict[str, Any] = {}
    for record in fields(Connection):
        if record.name not in _SETTABLE:
            continue
        name, default = record.name, _default(record)
        info: dict[str, Any] = {"description": _DOCSTRINGS.get(name)}
        if any(kind in str(record.type) for kind in _NUMBERS):
            info["strict"] = True
        if name in NUMBER_RANGES:
            info["ge"], info["le"] = NUMBER_RANGES[name]
        if name in MAX_LENGTHS:
            info["max_length"] = MAX_LENGTHS[name]
        if name == "timeout":
            info["gt"], info["le"] = 0, MAX_TIMEOUT
        if not needs_name:
            default = None
        if name in SECRET_FIELDS or not needs_name:
            info["json_schema_extra"] = _without_default
        if name in SECRET_FIELDS:
            info["repr"] = False
        made[name] = (_HINTS[name], Field(default, **info))
    return made


def _without_default(schema: dict[str, Any]) -> None:
    """Removes the default: a field that is left out stays as it is, and null changes it."""
    schema.pop("default", None)


class _Fields(StrictModel):
    def values(self) -> dict[str, Any]:
        """Returns the fields that were sent, and no others."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


_CreateFields: Any = create_model("_CreateFields", __base__=_Fields, **_settable(needs_name=True))
_UpdateFields: Any = create_model("_UpdateFields", __base__=_Fields, **_settable(needs_name=False))


class ConnectionCreate(_CreateFields):  # type: ignore[misc]  # its fields are those of the record
    """A new connection. `owner` is for an admin, who may create connections for others."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "api_key": "sk-..."}]})


class ConnectionUpdate(_UpdateFields):  # type: ignore[misc]  # its fields are those of the record
    """New values for the fields named. `version`: of the record that the change is based on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"priority": 10, "tags": ["gpu", "night"], "version": 3}]}
    )
    version: Annotated[int | None, Field(ge=0, le=NUMBER_RANGES["version"][1], strict=True)] = None


_ReadFields: Any = create_model(
    "_ReadFields",
    **{
        record.name: (_HINTS[record.name], Field(description=_DOCSTRINGS.get(record.name)))
        for record in fields(Connection)
        if record.name not in SECRET_FIELDS
    },  # type: ignore[call-overload]  # fields by name, which the stubs do not foresee
)


class ConnectionRead(_ReadFields):  # type: ignore[misc]  # its fields are those of the record
    """A stored connection, without its key and the values of its headers."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_READ_EXAMPLE]})

    @computed_field(description="Whether it has a key. The key itself is never sent.")  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def api_key_set(self) -> bool:
        return self.api_key_last4 is not None


class ConnectionPage(Page):
    items: Sequence[ConnectionRead]
    unreadable: Mapping[str, str] = Field(
        default={},
        description="Rows that were edited by hand and are invalid: id, and what is wrong.",
    )


class ConnectionQuery(PageQuery):
    name: ShortText | None = None
    connection_type: ConnectionType | None = None
    use_in_livekit: bool | None = None
    use_in_mcp: bool | None = None
    use_in_automation: bool | None = None
    is_active: bool | None = None
    tag: list[ShortText] = Field(default=[], max_length=50, description="All of these must be set.")
    pool: ShortText | None = None
    text: ShortText = Field(
        default="",
        description="Found anywhere in the name, the description, the model or the address.",
    )
    sort: SortField = "priority"
    order: Literal["asc", "desc"] = "asc"


class ConnectionKeyUpdate(StrictModel):
    """The key that replaces the present one; null, or an empty text, removes it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"api_key": "sk-..."}]})
    api_key: SecretStr | None
    version: Annotated[int | None, Field(ge=0, le=NUMBER_RANGES["version"][1], strict=True)] = None
