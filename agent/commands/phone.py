"""`llm-router phone`: puts the commands of the telephone together, a module for each group."""

import typer

from agent.commands import calls_out, phone_doctor, phone_setup

app = typer.Typer(
    help="Set up the telephone, and call numbers.",
    no_args_is_help=True,
)
phone_setup.register(app)
phone_doctor.register(app)
calls_out.register(app)
