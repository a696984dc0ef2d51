"""Get everything ready that Patchbay needs, on a machine with nothing but Python.

Steps already done, with the same inputs, cost a glance. A step that was interrupted starts over.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from deploy import console, engines, media_server, page, python_env

STEPS: dict[str, tuple[str, Callable[[], object]]] = {
    "venv": ("the virtual environment .venv with the locked packages", python_env.install),
    "server": ("livekit-server, from PATH or built into the cache", media_server.provide),
    "page": ("the web page, built from web/widget", page.build),
    "dev": ("linters, types and tests in .venv", python_env.install_dev),
    "engines": ("model engines for make test-live: 15 minutes once, 7 GB", engines.provide_all),
}
ALL = ("venv", "server", "page")


def ordered_steps(words: Iterable[str]) -> list[str]:
    """Return the steps to take, each once, in the order they build on each other."""
    wanted = set(words) or {"all"}
    if "all" in wanted:
        wanted |= set(ALL)
    return [name for name in STEPS if name in wanted]


def run(steps: Iterable[str]) -> None:
    """Take the steps; raises console.StepError at the first that fails."""
    for name in steps:
        _, take = STEPS[name]
        take()


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the steps named on the command line."""
    lines = [f"  {name:<8}{what}" for name, (what, _) in STEPS.items()]
    lines.append(f"  {'all':<8}{', '.join(ALL)}; what is taken when no step is named")
    parser = argparse.ArgumentParser(
        prog="python -m deploy.setup",
        description=__doc__,
        epilog="\n".join(["steps:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "step", nargs="*", choices=[*STEPS, "all", []], metavar="step", help="see below"
    )
    steps = ordered_steps(parser.parse_args(arguments).step)
    return report_failures(lambda: run(steps))


def report_failures(work: Callable[[], int | None]) -> int:
    """Do the work and return the exit code; tell a failure or an interruption in words."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work() or 0
    except console.ReportedError as failure:
        console.say(failure.report())
        return 1
    except KeyboardInterrupt:
        console.say("Interrupted; run it again to go on where it stopped.")
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM end a step as Ctrl-C does, so that nothing it started stays behind."""
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
