"""What real engines take for an answer, direct and through the router, side by side.

    python -m bench.engines --engines llama_cpp --runs 50

Builds the engines that are not built yet: `make test-live` says how long that takes.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.engines.asking import answers
from bench.engines.page import HEAD, Found, rows, write
from bench.report.table import progress, text_table
from deploy import engines
from deploy.setup import report_failures
from tests.live.engines import running
from tests.live.kinds import KINDS, SERVERS

_COMPATIBLE = [kind.name for kind in SERVERS if kind.provider == "openai_compatible"]
"""What can be asked directly in the same way."""
PAGE = Path(__file__).parents[2] / "docs" / "bench" / "engines.md"


async def measure(names: Sequence[str], warm_up: int, runs: int) -> Found:
    """One engine after the other, so that none takes the machine from another."""
    tell, found = progress(), {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            async with running(KINDS[name], Path(folder)) as engine:
                found[name] = await answers(engine.connection(), warm_up, runs, tell)
        tell("")
        print(
            f"{name} {engines.version(KINDS[name].engine)}\n{text_table(HEAD, rows(found[name]))}\n"
        )
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=_COMPATIBLE,
        default=["llama_cpp"],
        help="default: %(default)s",
    )
    parser.add_argument(
        "--warm-up", type=int, default=10, metavar="N",
        help="answers before those that count, each way (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--runs", type=int, default=100, metavar="N",
        help="answers that count, each way (default: %(default)s, about 3 minutes)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    chosen = parser.parse_args()
    if chosen.runs < 1 or chosen.warm_up < 0:
        parser.error("--runs must be at least 1, --warm-up at least 0")
    return chosen


def main() -> int:
    chosen = _arguments()
    logging.getLogger("llm_router").setLevel(logging.CRITICAL)
    return report_failures(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    for name in chosen.engines:
        engines.PROVIDE[KINDS[name].engine]()  # made now, before anything is measured
    found = asyncio.run(measure(chosen.engines, chosen.warm_up, chosen.runs))
    if chosen.write:
        write(PAGE, found, chosen.runs)
        print(f"written: {PAGE} and its picture")
    return 0


if __name__ == "__main__":
    sys.exit(main())
