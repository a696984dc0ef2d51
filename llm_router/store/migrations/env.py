"""Configures Alembic, which runs this file, for a connection or for SQL output."""

from typing import Any, Literal

from alembic import context

from llm_router.store.columns import UtcDateTime
from llm_router.store.tables import metadata


def _render_type(kind: str, what: Any, _: object) -> str | Literal[False]:
    """Renders a type for a new migration, which must not depend on types that change later."""
    if kind == "type" and isinstance(what, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


given = context.config.attributes
if "connection" in given:
    context.configure(
        connection=given["connection"], target_metadata=metadata, render_item=_render_type
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
