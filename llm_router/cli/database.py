"""`llm-router migrate` and `llm-router keys rotate`: work on the database itself, where it is."""

from typing import Annotated

import typer

from llm_router.cli.command import NO, on_this_machine
from llm_router.cli.output import Output

keys = typer.Typer(help="The master key that seals secrets.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    on_this_machine(app, "migrate")(migrate)


async def migrate(
    out: Output,
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Only print the SQL of the whole schema.")
    ] = False,
) -> None:
    """Bring the database's tables up to date, in one transaction. Safe to repeat."""
    from llm_router.cli import maintenance  # noqa: PLC0415  a second, not for --help

    if sql:
        text = maintenance.schema()
        out.json({"sql": text})
        if not out.as_json:
            typer.echo(text)
        return
    database, before, after = await maintenance.bring_up_to_date()
    out.json({"database": database, "before": before, "after": after})
    how = "was up to date" if before == after else f"was at {before or 'nothing'}"
    out.line(f"{database} {how}, and is at {after}")


@on_this_machine(keys, "rotate")
async def rotate(out: Output) -> int | None:
    """Seal every secret again with the first master key.

    First put the new key above the old one in ENCRYPTION_KEY_FILE (or before it in
    ENCRYPTION_KEYS), and restart the processes, so that all of them know both; then rotate; then
    the old one may go. Stopped anywhere, nothing is lost: run it again.
    """
    from llm_router.cli import maintenance  # noqa: PLC0415  a second, not for --help

    with out.progress("resealing") as told:
        done = await maintenance.rotate(told)
    for said in done.broken:
        out.say(said, "red")
    out.json({"resealed": done.rows, "broken": done.broken})
    if done.broken:
        out.line(f"resealed {done.rows} rows; {len(done.broken)} could not be opened", "red")
    else:
        out.line(f"resealed {done.rows} rows; all are under the first master key now", "green")
    return NO if done.broken else None
