"""Measures how many callers a model server answers in time, and suggests vLLM's --max-num-seqs.

python -m deploy.vllm.suggest http://127.0.0.1:8000/v1 --model NAME

The API key, if it needs one, is read from VLLM_API_KEY, as vLLM does.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing

from llm_router.clock import SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import RouterError
from llm_router.providers.base import Provider
from llm_router.providers.openai_compatible import create
from llm_router.types import ChatRequest

_TASK = (
    "You are the receptionist of a dental practice. Be brief and kind. "
    "Caller number {}: what do I have to bring to my first visit, and where can I park?"
)


def p95(times: Sequence[float]) -> float:
    """Returns the 95th percentile."""
    if len(times) == 1:
        return times[0]
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def suggest_max_callers(measured: Mapping[int, Sequence[float]], target: float) -> int | None:
    """Returns the most callers at once whose p95 time to first word is within `target` (s).

    Any smaller number is within the target, too. Returns None if even one caller is not.
    """
    in_time = itertools.takewhile(lambda n: p95(measured[n]) <= target, sorted(measured))
    return max(in_time, default=None)


def powers_of_two(limit: int) -> Iterator[int]:
    callers = 1
    while callers <= limit:
        yield callers
        callers *= 2


async def first_word(provider: Provider, number: int) -> float:
    """Measures the time to first word (s), and reads the whole reply, as a call does."""
    clock = SystemClock()
    started = clock.now()
    elapsed: float | None = None
    question = ChatRequest(
        messages=[{"role": "user", "content": _TASK.format(number)}], max_tokens=80
    )
    async with aclosing(provider.stream(question)) as chunks:
        async for chunk in chunks:
            if elapsed is None and chunk.useful:
                elapsed = clock.now() - started
    return elapsed if elapsed is not None else float("inf")


async def measure(
    connection: Connection, *, target: float, most: int, rounds: int
) -> dict[int, list[float]]:
    """Measures times to first word by number of callers, up to the first number that is too slow.

    Raises RouterError for a server that does not answer.
    """
    provider = create(connection, SystemClock())
    numbers, measured = itertools.count(), dict[int, list[float]]()
    try:
        await first_word(provider, next(numbers))  # warms up the server
        for callers in powers_of_two(most):
            times: list[float] = []
            for _ in range(rounds):
                asked = (first_word(provider, next(numbers)) for _ in range(callers))
                times += await asyncio.gather(*asked)
            measured[callers] = times
            shown = statistics.median(times), p95(times)
            print(f"{callers:7}  {shown[0]:14.3f} s  {shown[1]:.3f} s", flush=True)
            if p95(times) > target:
                break
    finally:
        await provider.aclose()
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.vllm.suggest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base_url")
    parser.add_argument("--model", default="", help="empty: the server's own")
    parser.add_argument("--target", type=float, default=0.5, help="seconds to the first word")
    parser.add_argument("--most", type=int, default=128, help="callers, at most")
    parser.add_argument("--rounds", type=int, default=5, help="questions of each caller")
    args = parser.parse_args()
    try:
        connection = Connection(
            name="vLLM",
            base_url=args.base_url,
            model_name=args.model,
            api_key=os.environ.get("VLLM_API_KEY"),
            server="vllm",
        )
        print("callers  first word p50  p95")
        work = measure(connection, target=args.target, most=args.most, rounds=args.rounds)
        measured = asyncio.run(work)
    except RouterError as error:
        print(f"{args.base_url}: {error}; is vLLM running, with that model?", file=sys.stderr)
        return 1
    callers = suggest_max_callers(measured, args.target)
    if callers is None:
        print(f"not even one caller is answered within {args.target:.2f} s: take a smaller model")
        return 1
    print(
        f"--max-num-seqs {callers}: the most callers whose first word comes within"
        f" {args.target:.2f} s, 95 times of 100"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
