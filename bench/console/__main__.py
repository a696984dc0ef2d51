"""Measures whether the console stays quick over a store with 1,000,000 attempts.

Chromium, the HTTP process, and SQLite and PostgreSQL with 10,000 connections and 90 days of
attempts and calls. Each page is opened several times: how long its requests take, and how soon
after the last of them the page answers a key press. Then 100 calls go on and change every second
while the board of calls is open. About five minutes; the machine must be quiet.

    python -m bench.console --attempts 100000 --databases sqlite
"""

import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench.console.figures import Results, console_goals
from bench.console.measure import measure
from bench.console.page import make_page
from bench.console.stock import Amount, fill_store
from bench.full_store.databases import empty_databases
from bench.report.command import BenchParser, finish, terminal_progress

_DATABASES = ("sqlite", "postgresql")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = BenchParser("bench.console", __doc__)
    parser.add_number("--connections", 10_000, "stored connections", least=100)
    parser.add_number("--attempts", 1_000_000, "attempts in 90 days", least=10_000)
    parser.add_number("--visits", 2, "times that each page is opened")
    parser.add_number("--calls", 100, "calls that go on while the board is open", least=0)
    parser.add_number("--seconds", 30, "seconds for which the board is open")
    parser.add_choice("--databases", _DATABASES)
    chosen = parser.parse_args(arguments)
    progress = terminal_progress()
    amount = Amount(chosen.connections, chosen.attempts)
    found: list[Results] = []
    with (
        empty_databases(chosen.databases) as urls,
        ProcessPoolExecutor(len(urls), get_context("spawn")) as filling,
    ):
        progress("filling the stores")
        stocks = list(filling.map(fill_store, urls, [amount] * len(urls)))
        for stock in stocks:
            shown = measure(stock, chosen.visits, chosen.calls, chosen.seconds, progress)
            found.append(asyncio.run(shown))
    progress("")
    page = make_page(amount, found)
    print(page.text)
    return finish(chosen, lambda: page, console_goals(found))


if __name__ == "__main__":
    sys.exit(main())
