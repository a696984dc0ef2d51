"""`llm-router chat`: chats with the router in a window of the terminal."""

import os
import sys
from typing import Annotated

import typer

from llm_router.cli.command import ApiKeyFile, ApiUrl, CommandError, run_and_exit

Model = Annotated[
    str,
    typer.Option(help="A connection, a pool, a model, or `auto`: the router over all of them."),
]
Theme = Annotated[
    str,
    typer.Option(
        help="Colours: system (the theme that btop uses), terminal (the terminal's sixteen"
        " colours), or the name or path of a btop theme. Default: color_theme in"
        " ~/.config/patchbay/terminal.conf, or else system."
    ),
]
SystemPrompt = Annotated[str, typer.Option("--system", help="System prompt of new chats.")]
Store = Annotated[
    bool, typer.Option("--store/--no-store", help="Store the chats, to open them again.")
]


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    *,
    model: Model = "auto",
    system: SystemPrompt = "",
    store: Store = True,
    theme: Theme = "",
    api_url: ApiUrl = None,
    api_key_file: ApiKeyFile = None,
) -> None:
    """Chat with the router, and see a live board of it.

    Enter sends, Esc ends a reply, Ctrl+L begins a new chat, F2 chooses the model, F3 a stored chat,
    F4 the system prompt and parameters, F5 shows the board, Ctrl+Q quits.
    """
    run_and_exit(_run(model, system, theme, api_url, api_key_file, is_stored=store))


async def _run(
    model: str,
    system: str,
    theme: str,
    api_url: ApiUrl,
    api_key_file: ApiKeyFile,
    *,
    is_stored: bool,
) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError("chat needs a terminal; for a script, `llm-router batch` asks requests")
    try:
        from llm_router.tui.app import ChatApp  # noqa: PLC0415  an extra, and slow to import
    except ModuleNotFoundError as error:
        raise CommandError(
            f"the package {error.name!r} is missing: run `make install-frontend` in a checkout, or"
            " pip install './llm_router[terminal]' there"
        ) from error
    from llm_router.cli.connect import open_api  # noqa: PLC0415  takes a second; --help skips it
    from llm_router.tui.conversation import Options  # noqa: PLC0415
    from llm_router.tui.themes import ThemeFiles  # noqa: PLC0415

    options = Options(model=model, system_prompt=system)
    async with open_api(api_url, api_key_file) as api:
        app = ChatApp(api, ThemeFiles(os.environ, theme), options, is_stored=is_stored)
        await app.run_async()
