"""Defines API keys as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from llm_router.connections.access import KeyIntegration, Role, RouteGroup
from llm_router.gateway.schemas.base import Page, ShortText, StrictModel
from llm_router.store.api_keys import KeyState

Routes = Annotated[list[RouteGroup], Field(min_length=1, max_length=20)]
Pool = Annotated[ShortText, Field(min_length=1, max_length=100)]
Count = Annotated[int | None, Field(ge=0, le=2**31 - 1)]
Pools = Annotated[list[Pool], Field(min_length=1, max_length=100)]


class ApiKeyUpdate(StrictModel):
    """Limits of an API key. Those that are left out stay as they are; null takes one away."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"routes": ["chat"], "pools": ["fast"]}]}
    )
    routes: Routes | None = Field(
        default=None, description="The groups of routes that it may ask; docs/api.md lists them."
    )
    pools: Pools | None = Field(
        default=None, description="The pools whose connections it may see and use."
    )
    integration: KeyIntegration = Field(
        default="automation",
        description="The flag of the connections that answer its requests for replies.",
    )
    rate_limit_rpm: Annotated[int | None, Field(ge=1, le=999_999)] = Field(
        default=None, description="Requests a minute, of any kind."
    )
    rate_limit_tpm: Count = Field(
        default=None, description="Tokens a minute, counted when they are known."
    )
    monthly_budget: Annotated[float | None, Field(ge=0, le=10**9)] = Field(
        default=None, description="Cost a month (UTC), in the currency of the prices."
    )
    monthly_tokens: Count = Field(default=None, description="Tokens a month (UTC).")
    expires_at: AwareDatetime | None = None

    @field_validator("routes", "pools")
    @classmethod
    def _each_once(cls, given: list[str] | None) -> list[str] | None:
        return None if given is None else list(dict.fromkeys(given))

    def values(self) -> dict[str, Any]:
        """Returns the limits that are to change, as fields of `store.api_keys.KeyLimits`."""
        given = self.model_dump(include=self.model_fields_set & _LIMITS)
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
        }


_LIMITS = frozenset(ApiKeyUpdate.model_fields)


class ApiKeyCreate(ApiKeyUpdate):
    """A new API key.

    `owner`: the owner of the connections that it works with; unless given, its own name, or none
    for an admin and a worker. Limits that are left out are none.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "anna", "role": "editor", "team": "support"}]}
    )
    name: Annotated[ShortText, Field(min_length=1)]
    role: Role
    owner: ShortText | None = None
    team: ShortText = ""
    may_serve_calls: bool = Field(
        default=False,
        description="Whether its connections answer live callers without an admin's approval.",
    )


class KeyUseRead(BaseModel):
    """Use by an API key since the month (UTC) began, up to the last second."""

    tokens: int
    cost: float = Field(description="What has no known price costs nothing.")


class ApiKeyRead(BaseModel):
    """A stored API key, without the secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    last4: str
    role: Role
    owner: str
    team: str
    may_serve_calls: bool
    routes: Sequence[RouteGroup] | None
    pools: Sequence[str] | None
    integration: KeyIntegration
    rate_limit_rpm: int | None
    rate_limit_tpm: int | None
    monthly_budget: float | None
    monthly_tokens: int | None
    used_this_month: KeyUseRead
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    state: KeyState


class ApiKeyCreateResult(ApiKeyRead):
    key: str = Field(description="The key itself. It is shown this once.", repr=False)


class ApiKeyPage(Page):
    items: Sequence[ApiKeyRead]
