"""`llm-router messages list|remove`: the messages that callers have left."""

from typing import Annotated

import typer

from llm_router.cli.command import CommandContext, api_command

app = typer.Typer(help="Read the messages that callers have left.", no_args_is_help=True)

MessageId = Annotated[str, typer.Argument(metavar="ID", help="Id of the message.")]

_COLUMNS = ("id", "created_at", "assistant", "name", "contact", "text")


@api_command(app, "list")
async def list_(context: CommandContext) -> None:
    """List the messages, the latest first."""
    items = [item async for item in context.api.list_items("/messages", {})]
    context.out.json(items)
    rows = [[item[column] for column in _COLUMNS] for item in items]
    context.out.print_table(_COLUMNS, rows, "there are no messages")


@api_command(app, "remove")
async def remove(context: CommandContext, message_id: MessageId) -> None:
    """Remove a message for good."""
    await context.api.request("DELETE", f"/messages/{message_id}")
    context.out.print_line(f"removed {message_id}")
    context.out.json({"removed": message_id})
