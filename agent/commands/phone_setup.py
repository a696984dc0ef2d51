"""`llm-router phone plan|apply`: brings LiveKit's SIP service to what the telephone's file says."""

from typing import Annotated

import typer

from llm_router.cli.command import local_command
from llm_router.cli.output import Output


def register(app: typer.Typer) -> None:
    """Adds `plan` and `apply` to the commands of `phone`."""
    local_command(app, "plan")(plan)
    local_command(app, "apply")(apply)


async def plan(out: Output) -> int | None:
    """Show what `apply` would change in LiveKit. Changes nothing.

    Reads the file that PHONE_FILE names, config/phone.toml. Exits with 1 if objects that others
    have made are in the way.
    """
    from agent.commands import provisioning  # noqa: PLC0415  takes a second; --help skips it

    return await provisioning.show_plan(out)


async def apply(
    out: Output,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the change.")] = False,
) -> int | None:
    """Bring LiveKit's trunks and dispatch rules to what the file says, after a question.

    Changes only what an earlier run has made. Calls that are under way go on.
    """
    from agent.commands import provisioning  # noqa: PLC0415  takes a second; --help skips it

    return await provisioning.apply(out, yes=yes)
