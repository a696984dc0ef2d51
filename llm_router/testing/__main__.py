"""A model server for trying things out, which fails on request.

It speaks chat completions and Ollama's wire, and has OpenAI's audio API, with a tone for each word.
It prints its base URL.
"""

import argparse
import asyncio
import re
from contextlib import suppress
from typing import Any

from llm_router.testing._player import forever
from llm_router.testing.script import Fault, Script
from llm_router.testing.server import Behaviour, FaultyServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m llm_router.testing",
        description=__doc__,
        epilog=f"faults: {', '.join(Fault)}. The first letters of a fault are enough.",
    )
    seconds: dict[str, Any] = {"type": float, "default": 0.0, "metavar": "S"}
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0: any free port")
    count: dict[str, Any] = {"type": int, "metavar": "N"}
    add = parser.add_argument
    add("--first-token", **seconds, help="seconds until the first word")
    add("--gap", **seconds, help="seconds between two words")
    add("--words", default="".join(Script().words), help="text to send")
    add("--fault", type=_fault, default=Fault.NONE, metavar="FAULT")
    add("--after", **count, default=3, help="words to send before the fault")
    add("--one-in", **count, default=1, help="fail only one request in N")
    add("--status", type=int, metavar="CODE", help="HTTP status to answer with; sets the fault")
    add("--retry-after", metavar="VALUE", help="Retry-After header to send with --status")
    add("--continues", action="store_true", help="continue a trailing assistant message")
    add("--verbose", action="store_true", help="print the path of each request as well")
    return parser.parse_args()


def _fault(name: str) -> Fault:
    name = name.replace("-", "_")
    matches = [fault for fault in Fault if fault == name or fault.startswith(name)]
    if name not in matches and len(matches) != 1:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(Fault)}")
    return Fault(name) if name in matches else matches[0]


def _behaviour(args: argparse.Namespace) -> Behaviour:
    def script(fault: Fault) -> Script:
        return Script(
            words=re.findall(r"\s*\S+", args.words),
            first_token_after=args.first_token,
            gap=args.gap,
            fault=fault,
            after=args.after,
            status=args.status or Script().status,
            retry_after=args.retry_after,
            continues=args.continues,
        )

    fault = Fault.STATUS if args.status else args.fault
    if args.one_in <= 1:
        return script(fault)
    return lambda number: script(Fault.NONE if (number + 1) % args.one_in else fault)


async def _serve_forever(args: argparse.Namespace) -> None:
    def on_request(path: str) -> None:
        if args.verbose:
            _say(path)

    async with FaultyServer(
        _behaviour(args), host=args.host, port=args.port, on_request=on_request
    ) as server:
        _say(server.base_url)
        await forever()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the program's output


def main() -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(_arguments()))


if __name__ == "__main__":
    main()
