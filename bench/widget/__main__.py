"""Measures how soon a visitor of a page reads the first word of an answer, and hears the agent.

Chromium, a real livekit-server, a worker, an HTTP process, and a model whose first token comes
after 150 ms. A typed message: from the key to the first word in the page. Voice: from the press on
Talk to the first sound that the browser plays. Then many visitors type at once, from a program and
from as many pages, and 10,000 requests for tokens arrive in a minute while the page is asked for.
About four minutes; the machine must be quiet.

    python -m bench.widget --visits 3 --crowd 0
"""

import asyncio
import sys
from collections.abc import Sequence

from bench.report.command import BenchParser, finish, terminal_progress
from bench.widget.figures import widget_goals
from bench.widget.measure import measure
from bench.widget.page import make_page


def main(arguments: Sequence[str] | None = None) -> int:
    parser = BenchParser("bench.widget", __doc__)
    parser.add_number("--visits", 12, "visits in which messages are typed, and as many with voice")
    parser.add_number("--crowd", 50, "visitors who type at once; 0: none", least=0)
    parser.add_number("--flood", 10_000, "requests for tokens in a minute; 0: none", least=0)
    chosen = parser.parse_args(arguments)
    progress = terminal_progress()
    results = asyncio.run(measure(chosen.visits, chosen.crowd, chosen.flood, progress))
    progress("")
    page = make_page(results)
    print(page.text)
    return finish(chosen, lambda: page, widget_goals(results))


if __name__ == "__main__":
    sys.exit(main())
