"""Defines what all schemas share: strict bodies, short texts, pages."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from llm_router.connections.json_shape import is_within

ShortText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=10**9)]


_MAX_VALUES = 5_000
"""Values of a body: each may be a fault that has to be noted, on the loop of all requests."""


class StrictModel(BaseModel):
    """A request body; an unknown field is an error, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _check_size(cls, data: Any) -> Any:
        if is_within(data, values=_MAX_VALUES):
            return data
        raise PydanticCustomError("too_many_values", f"Must hold at most {_MAX_VALUES:,} values")


class PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Limit = 50
    offset: Offset = 0


class Page(BaseModel):
    total: int = Field(description="How many there are in all, on this page and others.")
    limit: int
    offset: int
