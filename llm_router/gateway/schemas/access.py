"""Who may ask, and what was done, as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from llm_router.connections.access import Action, Role
from llm_router.gateway.schemas.connections import Given, Paged, PageWanted, Text


class NewApiKey(Given):
    """`owner`: whose connections it works with; its own name unless given (for admins and workers:
    nobody's). `expires_at`: never, unless given.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "anna", "role": "editor", "team": "support"}]}
    )
    name: Annotated[Text, Field(min_length=1)]
    role: Role
    owner: Text | None = None
    team: Text = ""
    expires_at: AwareDatetime | None = None


class ApiKeyShown(BaseModel):
    """An API key as it is kept: all but the secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    last4: str
    role: Role
    owner: str
    team: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class ApiKeyMade(ApiKeyShown):
    key: str = Field(description="The key itself. It is shown this once.", repr=False)


class ApiKeyPage(Paged):
    items: Sequence[ApiKeyShown]


class SignIn(Given):
    model_config = ConfigDict(json_schema_extra={"examples": [{"api_key": "pb_..."}]})
    api_key: SecretStr = Field(max_length=200)


class Me(BaseModel):
    """Whoever asks."""

    name: str
    role: Role
    owner: str
    team: str
    may: Sequence[Action] = Field(description="What it may do, with some connection at least.")
    expires_at: datetime | None = Field(description="When its key stops to count.")


class AuditShown(BaseModel):
    """One thing done. `before` and `after` hold the fields that differ, without secrets."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    actor: str
    role: Role
    origin: str
    action: str
    kind: str
    target: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class AuditWanted(PageWanted):
    target: Text | None = Field(default=None, description="About this id only.")


class AuditPage(BaseModel):
    items: Sequence[AuditShown]
    limit: int
    offset: int
