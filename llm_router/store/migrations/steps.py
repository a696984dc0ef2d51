"""Runs and writes migrations with Alembic, which takes long to import."""

import io
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from llm_router.store.database import Dialect


def upgrade(connection: Connection) -> None:
    """Brings the tables up to date."""
    command.upgrade(config(connection=connection), "head")


def write(connection: Connection, revision: str, purpose: str) -> None:
    """Writes a migration to the state of `tables.py`."""
    command.revision(config(connection=connection), purpose, autogenerate=True, rev_id=revision)


def sql(dialect: Dialect) -> str:
    """Returns the SQL of all migrations."""
    offline = config(dialect=dialect)
    offline.output_buffer = written = io.StringIO()
    command.upgrade(offline, "head", sql=True)
    return written.getvalue()


def config(**attributes: object) -> Config:
    """Returns Alembic's configuration; `attributes` are those that `env.py` reads."""
    made = Config()
    folder = str(files("llm_router.store.migrations"))
    # Doubled, since %(name)s in an option refers to another one.
    made.set_main_option("script_location", folder.replace("%", "%%"))
    made.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    made.attributes.update(attributes)
    return made
