"""Defines the results of importing and applying files of connections as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from llm_router.connections.changes import Plan
from llm_router.gateway.schemas.connections import ConnectionRead


class ConnectionImportResult(BaseModel):
    items: Sequence[ConnectionRead]
    warnings: Sequence[str] = Field(
        default=(),
        description="The fields that were left out, because they are another program's.",
    )


class FieldChange(BaseModel):
    """The values before and after; of a secret, only whether there is one and that it changes."""

    before: Any
    after: Any


class ConnectionChange(BaseModel):
    id: str
    name: str
    fields: Mapping[str, FieldChange]


class ConnectionApplyResult(BaseModel):
    """The changes that make the connections those of the file; `applied`: they were made."""

    plan: str = Field(description="To send along, so that what is done is what was shown.")
    applied: bool
    added: Sequence[str]
    changed: Sequence[ConnectionChange]
    unchanged: Sequence[str]
    removed: Sequence[str]

    @classmethod
    def of(cls, plan: Plan, *, applied: bool) -> "ConnectionApplyResult":
        return cls(
            plan=plan.digest(),
            applied=applied,
            added=[c.name for c in plan.added],
            changed=[
                ConnectionChange(
                    id=change.stored.id,
                    name=change.stored.name,
                    fields={
                        name: FieldChange(before=before, after=after)
                        for name, (before, after) in change.for_display().items()
                    },
                )
                for change in plan.changed
            ],
            unchanged=[c.name for c in plan.unchanged],
            removed=[c.name for c in plan.removed],
        )
