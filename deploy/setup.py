"""Sets up all that Patchbay needs, on a machine with nothing but Python.

Steps that are done, with the same inputs, are skipped. A step that was interrupted starts over.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

from deploy import console, engines, extras, media_server, page, python_env, speech

STEPS: dict[str, tuple[str, Callable[[], object]]] = {
    "venv": ("the virtual environment .venv with the locked packages", python_env.install),
    "speech": ("whisper and a neural voice; nothing with VOICE=espeak", speech.provide),
    "extras": ("what EXTRAS names, such as EXTRAS='socks deepgram'; else nothing", extras.install),
    "terminal": ("the packages of `llm-router chat`", python_env.install_terminal),
    "server": ("livekit-server, from PATH or built into the cache", media_server.LIVEKIT.provide),
    "sip": ("livekit-sip for telephones, likewise", media_server.SIP.provide),
    "page": ("the web page and the console, built from web/widget and web/console", page.build),
    "dev": ("linters, types and tests in .venv", python_env.install_dev),
    "engines": ("model engines for make test-live: 15 minutes once, 7 GB", engines.provide_all),
}
ALL = ("venv", "speech", "extras", "server", "page")


def ordered_steps(names: Iterable[str]) -> list[str]:
    """Returns the steps to run, each once, in the order of their dependencies."""
    wanted = set(names) or {"all"}
    if "all" in wanted:
        wanted |= set(ALL)
    return [name for name in STEPS if name in wanted]


def run(steps: Iterable[str]) -> None:
    """Runs the steps; raises console.StepError at the first that fails."""
    for name in steps:
        _, run_step = STEPS[name]
        run_step()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the steps named on the command line."""
    lines = [f"  {name:<9}{what}" for name, (what, _) in STEPS.items()]
    lines.append(f"  {'all':<9}{', '.join(ALL)}; the default")
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
    """Does the work and returns the exit code; reports errors and interruptions in words."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work() or 0
    except console.ReportedError as failure:
        console.say(failure.report())
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        console.say(
            f"Failed: {error.filename}: {error.strerror}\n"
            "What to do: give yourself the right to write there. HOME and XDG_CACHE_HOME choose"
            " where the downloads and logs are."
        )
        return 1
    except KeyboardInterrupt:
        console.say("Interrupted; run it again to continue where it stopped.")
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Makes SIGTERM end a step as Ctrl-C does, so that no child process stays behind."""
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
