"""Run by alembic: on the connection it is given, or into a text of SQL."""

from typing import Any, Literal

from alembic import context

from llm_router.store.tables import UtcDateTime, metadata


def _rendered(kind: str, what: Any, _: object) -> str | Literal[False]:
    """Written into a new migration, which must not depend on types that change later."""
    if kind == "type" and isinstance(what, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


given = context.config.attributes
if "connection" in given:
    context.configure(
        connection=given["connection"], target_metadata=metadata, render_item=_rendered
    )
else:
    context.configure(
        dialect_name=given["dialect"],
        target_metadata=metadata,
        literal_binds=True,
        transactional_ddl=True,
    )
with context.begin_transaction():
    context.run_migrations()
