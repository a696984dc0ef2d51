"""What a file of connections would change, as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from llm_router.connections.changes import Plan


class FieldChanged(BaseModel):
    """Of a secret only whether there was one, and that it is another now."""

    before: Any
    after: Any


class ConnectionPlanned(BaseModel):
    id: str
    name: str
    fields: Mapping[str, FieldChanged]


class PlanShown(BaseModel):
    """What it takes to have what the file says; `applied`: it was done."""

    plan: str = Field(description="To send along, so that what is done is what was shown.")
    applied: bool
    added: Sequence[str]
    changed: Sequence[ConnectionPlanned]
    unchanged: Sequence[str]
    removed: Sequence[str]

    @classmethod
    def of(cls, plan: Plan, *, applied: bool) -> "PlanShown":
        return cls(
            plan=plan.digest(),
            applied=applied,
            added=[c.name for c in plan.added],
            changed=[
                ConnectionPlanned(
                    id=changed.stored.id,
                    name=changed.stored.name,
                    fields={
                        name: FieldChanged(before=before, after=after)
                        for name, (before, after) in changed.for_display().items()
                    },
                )
                for changed in plan.changed
            ],
            unchanged=[c.name for c in plan.unchanged],
            removed=[c.name for c in plan.removed],
        )
