"""What goes in and comes out, as JSON. The fields of a connection are those of the record itself:
one that is added there appears here, with its limits and the words that stand beneath it.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from dataclasses import Field as RecordField
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
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
from llm_router.failures import Failure, FailureClass

_EXAMPLE: dict[str, JsonValue] = {
    "name": "cellar",
    "connection_type": "local",
    "base_url": "http://10.0.0.5:8000/v1",
    "model_name": "qwen3-4b",
    "priority": 0,
    "tags": ["gpu"],
}
_SHOWN_EXAMPLE: dict[str, JsonValue] = {
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


class Given(BaseModel):
    """A body. What it does not know is an error, so that a slip of the pen is not passed over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


# ── Connections ──────────────────────────────────────────────────────────────────────────────────


def _words() -> Mapping[str, str]:
    """What is written beneath each field of the record."""
    record = ast.parse(textwrap.dedent(inspect.getsource(Connection))).body[0]
    lines = record.body if isinstance(record, ast.ClassDef) else []
    return {
        line.target.id: inspect.cleandoc(said.value.value)
        for line, said in pairwise(lines)
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
        if isinstance(said.value.value, str)
    }


_WORDS, _HINTS = _words(), get_type_hints(Connection)


def _default(field: RecordField[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else ...


def _settable(*, needs_name: bool) -> dict[str, Any]:
    """Each field with its limits; with defaults where it is a new record that is described."""
    made: dict[str, Any] = {}
    for record in fields(Connection):
        if record.name not in _SETTABLE:
            continue
        name, default = record.name, _default(record)
        info: dict[str, Any] = {"description": _WORDS.get(name)}
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
    """What is not given is left as it is; null is another matter."""
    schema.pop("default", None)


class _Fields(Given):
    def given(self) -> dict[str, Any]:
        """What was said, and nothing else."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


_New: Any = create_model("_New", __base__=_Fields, **_settable(needs_name=True))
_Changed: Any = create_model("_Changed", __base__=_Fields, **_settable(needs_name=False))


class NewConnection(_New):  # type: ignore[misc]  # its fields are those of the record
    """A connection to add. `owner`: for an admin, who may add for others."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "api_key": "sk-..."}]})


class ConnectionChanges(_Changed):  # type: ignore[misc]  # its fields are those of the record
    """New values for the fields named. `version`: of the record that they are based on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"priority": 10, "tags": ["gpu", "night"], "version": 3}]}
    )
    version: Annotated[int | None, Field(ge=0, le=NUMBER_RANGES["version"][1], strict=True)] = None


_Kept: Any = create_model(
    "_Kept",
    **{
        record.name: (_HINTS[record.name], Field(description=_WORDS.get(record.name)))
        for record in fields(Connection)
        if record.name not in SECRET_FIELDS
    },  # type: ignore[call-overload]  # fields by name, which the stubs do not foresee
)


class ConnectionShown(_Kept):  # type: ignore[misc]  # its fields are those of the record
    """A connection as it is kept, without its key and the values of its headers."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [_SHOWN_EXAMPLE]}
    )

    @computed_field(description="Whether it has a key. The key itself never comes out.")  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def api_key_set(self) -> bool:
        return self.api_key_last4 is not None


class Paged(BaseModel):
    total: int = Field(description="How many there are in all, on this page and others.")
    limit: int
    offset: int


class ConnectionPage(Paged):
    items: Sequence[ConnectionShown]
    unreadable: Mapping[str, str] = Field(
        default={}, description="Rows that somebody wrote over by hand: id, and what is wrong."
    )


Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=10**9)]


class PageWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Limit = 50
    offset: Offset = 0


class ConnectionsWanted(PageWanted):
    name: Text | None = None
    connection_type: ConnectionType | None = None
    use_in_livekit: bool | None = None
    use_in_mcp: bool | None = None
    use_in_automation: bool | None = None
    is_active: bool | None = None
    tag: list[Text] = Field(default=[], max_length=50, description="All of them.")
    pool: Text | None = None
    text: Text = Field(
        default="", description="Somewhere in the name, the description, the model or the address."
    )
    sort: SortField = "priority"
    order: Literal["asc", "desc"] = "asc"


class NewSecret(Given):
    """The key that takes the place of the one there is; null takes it away."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"api_key": "sk-..."}]})
    api_key: SecretStr | None
    version: Annotated[int | None, Field(ge=0, le=NUMBER_RANGES["version"][1], strict=True)] = None


# ── Trying them ──────────────────────────────────────────────────────────────────────────────────


class TestWanted(Given):
    prompt: str = Field(default="Say hello in one short sentence.", min_length=1, max_length=4_000)
    max_tokens: int = Field(default=64, ge=1, le=1_024, strict=True)


class FailureShown(BaseModel):
    """Why it did not work, and what a person can do about it."""

    kind: FailureClass
    reason: str
    advice: str = Field(description="Empty where there is nothing to do but to wait.")

    @classmethod
    def of(cls, failure: Failure | None) -> "FailureShown | None":
        if failure is None:
            return None
        return cls(kind=failure.kind, reason=failure.reason, advice=failure.advice)


class TestResult(BaseModel):
    """`ok`, or `failure`. What came before the failure is there all the same."""

    ok: bool
    latency: float = Field(description="Seconds until the answer was whole, or had failed.")
    first_word: float | None = Field(description="Seconds until the first word.")
    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    models: Sequence[str] = Field(description="What the server offers, where it says so.")
    server: str | None = Field(
        default=None,
        description="What it was recognised as; empty: as nothing we know. Null: not asked.",
    )
    notice: str = Field(
        default="", description="What to look at where the record has it for another server."
    )
    failure: FailureShown | None = None


class ModelList(BaseModel):
    """What the server offers, or why it did not say."""

    models: Sequence[str]
    failure: FailureShown | None = None


MODEL_NAME = r"^[A-Za-z0-9_./:@-]+$"


class PullWanted(Given):
    """`model`: the connection's own, unless named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "qwen3:4b"}]})
    model: str | None = Field(default=None, max_length=300, pattern=MODEL_NAME)


class PullShown(BaseModel):
    """How far a model is that a server fetches for us."""

    model: str
    state: Literal["pulling", "done", "failed", "stopped"]
    status: str = Field(description="What the server says it is doing.")
    digest: str = Field(description="The layer that is being fetched.")
    total: int | None = Field(description="Bytes of that layer.")
    completed: int | None = Field(description="Bytes of it that are there.")
    error: str = Field(description="Why it failed, in the server's own words.")
    started_at: datetime
    finished_at: datetime | None


class PullList(BaseModel):
    items: Sequence[PullShown]


# ── Presets and files ────────────────────────────────────────────────────────────────────────────


class PresetShown(BaseModel):
    name: str
    title: str
    description: str
    connections: Sequence[str] = Field(description="Their names, in the order they are asked.")
    keys: Mapping[str, str] = Field(
        description="The connections that need a key, and the variable it is taken from."
    )


class PresetKeys(Given):
    """Keys by the name of the connection. Those not given are taken from the environment of the
    HTTP process, for an admin.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"keys": {"openai": "sk-...", "groq": "gsk_..."}}]}
    )
    keys: dict[str, SecretStr] = Field(default={}, max_length=20)


class ConnectionsAdded(BaseModel):
    items: Sequence[ConnectionShown]
