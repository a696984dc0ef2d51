"""`llm-router migrate` and `llm-router keys`: work on the database itself, and on its keys."""

from typing import Annotated

import typer

from llm_router.cli.command import EXIT_NO, local_command
from llm_router.cli.output import Output

keys = typer.Typer(help="Manage the master key that seals stored secrets.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    local_command(app, "migrate")(migrate)


async def migrate(
    out: Output,
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL of the whole schema instead.")
    ] = False,
) -> None:
    """Create the database's tables or bring them up to date.

    All changes are made in one transaction. Running it again changes nothing.
    """
    from llm_router.cli import maintenance  # noqa: PLC0415  takes a second; --help skips it

    if sql:
        text = maintenance.schema()
        out.json({"sql": text})
        if not out.as_json:
            typer.echo(text)
        return
    database, before, after = await maintenance.bring_up_to_date()
    out.json({"database": database, "before": before, "after": after})
    if before == after:
        out.print_line(f"{database} is up to date at version {after}")
    else:
        out.print_line(f"updated {database} from {before or 'no tables'} to version {after}")


@local_command(keys, "new")
async def new(out: Output) -> None:
    """Put a new master key above the old ones in ENCRYPTION_KEY_FILE. The first step of a change.

    Then restart the processes, so that all of them know both keys; run `keys rotate`; restart them
    again after `keys retire`. Keep a copy of the file somewhere else.
    """
    from llm_router.cli import maintenance  # noqa: PLC0415  takes a second; --help skips it

    file, count = maintenance.add_master_key()
    out.json({"file": str(file), "keys": count})
    out.print_line(f"{file} has {count} keys now; restart the processes, then: keys rotate")


@local_command(keys, "retire")
async def retire(out: Output) -> None:
    """Remove the old master keys from ENCRYPTION_KEY_FILE. The last step of a change.

    It refuses while anything is sealed with one of them. Sign-ins in a browser that an old key
    vouches for end when the processes restart: people sign in again.
    """
    from llm_router.cli import maintenance  # noqa: PLC0415  takes a second; --help skips it

    file, count = await maintenance.retire_master_keys()
    out.json({"file": str(file), "retired": count})
    out.print_line(f"removed {count} old keys from {file}; restart the processes")


@local_command(keys, "rotate")
async def rotate(out: Output) -> int | None:
    """Seal every stored secret again, with the first master key.

    First put the new key above the old one in ENCRYPTION_KEY_FILE (`keys new`), or before it in
    ENCRYPTION_KEYS, and restart the processes, so that all of them know both keys. Then run this
    command, and remove the old key (`keys retire`). If the command is stopped, nothing is lost: run
    it again.
    """
    from llm_router.cli import maintenance  # noqa: PLC0415  takes a second; --help skips it

    with out.progress("resealing") as on_progress:
        result = await maintenance.rotate(on_progress)
    for reason in result.broken:
        out.print_note(reason, "red")
    out.json({"resealed": result.rows, "broken": result.broken})
    count = f"rows resealed: {result.rows}"
    if result.broken:
        out.print_line(f"{count}; {len(result.broken)} could not be opened", "red")
    else:
        out.print_line(f"{count}; all of them use the first master key now", "green")
    return EXIT_NO if result.broken else None
