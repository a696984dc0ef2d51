"""Compares our gateway with LiteLLM's proxy and a bare relay, side by side (Linux).

python -m bench.gateway --streams 1 10 100 500
"""

import asyncio
import logging
import subprocess
import sys

from bench.gateway.contenders import CONTENDERS, litellm_python
from bench.gateway.measure import ONE_IN, PACED, Load, measure
from bench.gateway.page import JUDGED_AT, OURS, PEER, make_goals, make_page
from bench.peers.runner import versions
from bench.report.command import BenchParser, at_least, finish, terminal_progress
from bench.report.scheduling import use_realtime_priority

_PACKAGES = ("patchbay-router", "uvicorn", "httptools", "uvloop", "httpx2")
_VERSION = "import importlib.metadata as m; print(m.version('litellm'))"


def main() -> int:
    parser = BenchParser("bench.gateway", __doc__)
    parser.add_choice("--gateways", list(CONTENDERS))
    parser.add_argument(
        "--streams", type=at_least(1), nargs="+", default=[1, 10, 100, 500], metavar="N",
        help="streams at once, one run after the other (default: 1 10 100 500)",
    )  # fmt: skip
    parser.add_number("--seconds", 3, "seconds in which each run begins its streams")
    parser.add_number("--paced-seconds", 20, "the same of the run at a pace that is carried")
    parser.add_realtime()
    chosen = parser.parse_args()
    if OURS not in chosen.gateways:
        parser.error(f"{OURS} must be among the gateways: the others are compared with it")
    if chosen.realtime:
        use_realtime_priority()
    logging.getLogger("llm_router").setLevel(logging.CRITICAL)
    loads = [
        Load(callers=int(size), seconds=chosen.seconds, one_in=one_in)
        for size in chosen.streams
        for one_in in (0, ONE_IN)
    ]
    paced = Load(callers=JUDGED_AT, seconds=chosen.paced_seconds, pace=PACED)
    runs = asyncio.run(measure(chosen.gateways, [paced, *loads], terminal_progress()))
    used = versions(_PACKAGES)
    if PEER in chosen.gateways:
        asked = [str(litellm_python()), "-c", _VERSION]
        used["litellm"] = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        used["litellm"] = used["litellm"].strip()
    page = make_page(runs, used)
    print(page.text)
    return finish(chosen, lambda: page, make_goals(runs))


if __name__ == "__main__":
    sys.exit(main())
