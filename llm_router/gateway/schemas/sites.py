"""Defines sites as JSON. Their fields are those of the record."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, create_model

from llm_router.gateway.schemas.base import Page, StrictModel
from llm_router.gateway.schemas.edits import optional_fields
from llm_router.store.sites import SiteVersion, StoredSite
from llm_router.voice.site import SiteRecord, parse_site

_EXAMPLE: dict[str, JsonValue] = {
    "name": "shop",
    "origins": ["https://shop.example"],
    "assistant": "shop",
    "calls_at_once": 5,
    "longest_call": 600,
    "spend_per_day": 10.0,
}
_FACTS: dict[str, JsonValue] = {
    "key": "site_2Vt7mBq0yYkq3nGm8XcZ", "version": 2, "spent_today": 1.25,
    "created_at": "2026-05-04T09:30:00Z", "updated_at": "2026-05-05T11:00:00Z",
}  # fmt: skip
_Version = Annotated[int | None, Field(ge=1, le=10**9, strict=True)]


class SiteCreate(SiteRecord, StrictModel):
    """A new site. What is left out is the setting's, or no limit of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]}, title="SiteCreate")

    def record(self) -> SiteRecord:
        return parse_site(self.model_dump(mode="json", exclude_unset=True))


_Fields: Any = create_model(
    "_SiteFields", __base__=StrictModel, **optional_fields(SiteRecord, without={"name"})
)


class SiteUpdate(_Fields):  # type: ignore[misc]  # its fields are those of the record
    """New values for the fields named; null: back to the default. `version`: of the record that the
    change is based on.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"calls_at_once": 10, "version": 2}]})
    version: _Version = None

    def values(self) -> dict[str, Any]:
        """Returns the fields that were sent, as plain values."""
        sent: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True, exclude={"version"})
        return sent


class SiteRead(SiteRecord):
    """A site."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, **_FACTS}]})
    key: str = Field(description="The public key that its pages send as `site`.")
    version: int
    created_at: datetime
    updated_at: datetime
    spent_today: float = Field(description="Cost of its calls since midnight (UTC).")

    @classmethod
    def of(cls, stored: StoredSite) -> "SiteRead":
        return cls.model_validate(
            {
                **dict(stored.record),
                "key": stored.key,
                "version": stored.version,
                "created_at": stored.created_at,
                "updated_at": stored.updated_at,
                "spent_today": stored.spent_today,
            }
        )


class SitePage(Page):
    items: Sequence[SiteRead]
    unreadable: Mapping[str, str] = Field(
        default={},
        description="Sites that this version cannot read: name, and why. They can be deleted.",
    )


class SiteVersionRead(SiteRecord):
    """A site as it was from one change to the next."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_EXAMPLE, "version": 1, "author": "anna", "at": "2026-05-04T09:30:00Z"}]
        }
    )
    version: int
    author: str = Field(description="Name of the API key that made it.")
    at: datetime

    @classmethod
    def of(cls, one: SiteVersion) -> "SiteVersionRead":
        made = {"version": one.version, "author": one.author, "at": one.at}
        return cls.model_validate({**dict(one.record), **made})


class SiteVersions(StrictModel):
    """The versions of a site, the latest first."""

    items: Sequence[SiteVersionRead]


class SiteRollback(StrictModel):
    """`to`: the version whose content is to be the present one again. `version`: the present one
    as you know it.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": 1, "version": 2}]})
    to: Annotated[int, Field(ge=1, le=10**9, strict=True)]
    version: _Version = None


class SiteSecret(StrictModel):
    """The secret of a site's server. It never goes into a page."""

    secret: str = Field(repr=False, examples=["secret_0123456789abcdef"])
