"""Defines what all schemas share: strict bodies, short texts, pages."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ShortText = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=10**9)]


class StrictModel(BaseModel):
    """A request body; an unknown field is an error, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Limit = 50
    offset: Offset = 0


class Page(BaseModel):
    total: int = Field(description="How many there are in all, on this page and others.")
    limit: int
    offset: int
