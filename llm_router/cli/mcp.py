"""`llm-router mcp`: serves MCP on standard input and output, to the program that starts it."""

import typer

from llm_router.cli.command import ApiKeyFile, ApiUrl, run_and_exit


def register(app: typer.Typer) -> None:
    app.command("mcp")(mcp)


def mcp(*, api_url: ApiUrl = None, api_key_file: ApiKeyFile = None) -> None:
    """Serve the connections as MCP tools to the program that starts this command.

    It speaks MCP on standard input and output, until the input ends. docs/mcp.md has the
    configurations of clients.
    """
    from llm_router.cli import mcp_stdio  # noqa: PLC0415  takes a second; --help skips it

    run_and_exit(mcp_stdio.serve(api_url, api_key_file))
