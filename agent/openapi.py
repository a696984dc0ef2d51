"""Prints the OpenAPI document of the HTTP process, `python -m agent.openapi`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from agent.api import build_app
from agent.http_process import open_store
from config.settings import Settings
from llm_router.discovery.discover import DiscoveryResult

_TEXTS = ("description", "summary", "title", "examples")
"""Members of the document that only people read."""


async def document() -> dict[str, Any]:
    """Returns the document of the usual settings. It needs no server and stores nothing."""
    with TemporaryDirectory() as folder:
        settings = Settings(
            database_url=SecretStr(f"sqlite:///{folder}/store.sqlite3"),
            admin_key_file=Path(folder, "admin.key"),
            encryption_key_file=Path(folder, "master.key"),
            livekit_api_key="none",
            livekit_api_secret=SecretStr("none" * 8),
        )
        async with open_store(settings) as store:
            found: dict[str, Any] = build_app(settings, DiscoveryResult((), {}), store).openapi()
    return found


def without_texts(part: Any) -> Any:
    """Returns a part of the document without what is only for people to read."""
    if isinstance(part, list):
        return [without_texts(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: value if name == "enum" else without_texts(value)
        for name, value in part.items()
        if not (name in _TEXTS and isinstance(value, str | list))
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m agent.openapi", description=__doc__)
    parser.add_argument(
        "--types", action="store_true", help="leave out the texts: for generating types"
    )
    arguments = parser.parse_args(argv)
    made = asyncio.run(document())
    json.dump(without_texts(made) if arguments.types else made, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
