"""Measures the time that real engines take for an answer, directly and through the router.

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

from bench.engines.answers import collect_answers
from bench.engines.page import Answers, answers_table, engine_title, make_page
from bench.report.command import BenchParser, finish, terminal_progress
from deploy import engines
from deploy.setup import report_failures
from tests.live.engines import running
from tests.live.kinds import KINDS, SERVERS

_COMPATIBLE = [kind.name for kind in SERVERS if kind.provider == "openai_compatible"]
"""Engines that can be asked directly in the same way."""


async def measure(names: Sequence[str], warm_up: int, runs: int) -> dict[str, Answers]:
    """Asks one engine after the other, so that none takes the processor from another."""
    by_engine: dict[str, Answers] = {}
    progress = terminal_progress()
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            async with running(KINDS[name], Path(folder)) as engine:
                connection = engine.connection()
                by_engine[name] = await collect_answers(connection, warm_up, runs, progress)
        progress("")
        print(f"{engine_title(name)}\n{answers_table(by_engine[name]).text}\n")
    return by_engine


def main() -> int:
    parser = BenchParser("bench.engines", __doc__, has_goals=False)
    parser.add_choice("--engines", _COMPATIBLE, default=["llama_cpp"])
    parser.add_number("--warm-up", 10, "answers each way that do not count", least=0)
    parser.add_number("--runs", 100, "answers each way that count; about 3 minutes")
    chosen = parser.parse_args()
    logging.getLogger("llm_router").setLevel(logging.CRITICAL)
    return report_failures(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    for name in chosen.engines:
        engines.PROVIDE[KINDS[name].engine]()  # built now, before the measuring begins
    by_engine = asyncio.run(measure(chosen.engines, chosen.warm_up, chosen.runs))
    return finish(chosen, lambda: make_page(by_engine, chosen.runs))


if __name__ == "__main__":
    sys.exit(main())
