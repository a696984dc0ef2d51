"""Runs `llm-router`, also as `python -m llm_router.cli`."""

import sys


def run() -> int:
    """Runs one command and returns its exit code; names the extra of a missing package."""
    try:
        from llm_router.cli.main import main  # noqa: PLC0415  the command may not be installed
    except ModuleNotFoundError as error:
        sys.exit(
            f"llm-router: the package {error.name!r} is missing, which only the command needs;"
            " install the router with its extra, in a checkout of Patchbay: pip install"
            " './llm_router[cli]'"
        )
    return main()


if __name__ == "__main__":
    sys.exit(run())
