"""The cost of deciding: choosing among many endpoints, recording a sample, and memory."""

import gc
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from time import perf_counter

from bench.report.command import Progress
from llm_router.assembly import POLICIES
from llm_router.connections.record import Connection
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.pool import Pool
from llm_router.testing import ScriptedProvider
from llm_router.types import ChatRequest

SIZES = (10, 100, 1_000)
_SESSIONS = 64
_MESSAGES = [
    {"role": "user" if place % 2 else "assistant", "content": "So it is, and so it was. " * 4}
    for place in range(16)
]


@dataclass(frozen=True, slots=True)
class Choosing:
    """Times of a policy to rank a number of endpoints (s).

    `after_a_reply`: after another reply has ended and changed the times and the load of its
    endpoint; `new_session`: for a session without history.
    """

    policy: str
    endpoints: int
    after_a_reply: Sequence[float]
    new_session: Sequence[float]


def measure_choosing(
    rounds: int, progress: Progress, sizes: Sequence[int] = SIZES
) -> list[Choosing]:
    choosing = []
    for policy in POLICIES.names():
        for size in sizes:
            progress(f"choosing: {policy} among {size}")
            choosing.append(_measure_policy(policy, size, rounds))
    return choosing


def _measure_policy(policy: str, size: int, rounds: int) -> Choosing:
    endpoints = _endpoints(size)
    pool = Pool(endpoints, POLICIES.load(policy)(), 0.8)
    sessions = [_request(f"session {n}") for n in range(_SESSIONS)]
    now = count(0.0, 0.01)
    for request, endpoint in zip(sessions, endpoints * _SESSIONS, strict=False):
        pool.plan(request, 0.0)
        pool.record_answer(request.session_id, endpoint)
    after_a_reply = []
    new_session = []
    for number in range(rounds):
        _finish_reply(endpoints[number * 7 % size], next(now))
        request = sessions[number % _SESSIONS]
        after_a_reply.append(_seconds(lambda: pool.plan(request, 0.0)))  # noqa: B023  called at once
    for number in range(max(10, rounds // 50)):
        newcomer = _request(f"newcomer {number}")
        new_session.append(_seconds(lambda: pool.plan(newcomer, 0.0)))  # noqa: B023  called at once
    return Choosing(policy, size, after_a_reply, new_session)


def measure_recording(rounds: int) -> Sequence[float]:
    """Measures the seconds that one sample takes, its notice to the pool included."""
    endpoints = _endpoints(100)
    pool = Pool(endpoints, POLICIES.load("latency")(), 0.8)
    pool.plan(_request("session"), 0.0)
    took = []
    now = count(0.0, 0.01)
    for number in range(rounds):
        latency = endpoints[number % 100].latency
        moment = next(now)
        took.append(_seconds(lambda: latency.record_first_clause(0, 0.4, moment)))  # noqa: B023  called at once
    return took


def bytes_of_an_endpoint(number: int = 200) -> float:
    """Returns the memory of an endpoint that was measured with prompts of every size, without its
    HTTP client.
    """
    endpoints: list[Endpoint] = []
    with measure_memory() as grown:
        endpoints += _endpoints(number)
        pool = Pool(endpoints, POLICIES.load("latency")(), 0.8)
        pool.plan(_request("session"), 0.0)
    return grown[0] / number


@contextmanager
def measure_memory() -> Iterator[list[float]]:
    """Appends to the list, when the block ends, the bytes by which memory in use has grown."""
    gc.collect()
    tracemalloc.start()
    grown: list[float] = []
    try:
        yield grown
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


def _endpoints(number: int) -> list[Endpoint]:
    chance = random.Random(1)
    endpoints = []
    for place in range(number):
        connection = Connection(
            name=f"server-{place}",
            priority=chance.randrange(3),
            weight=chance.choice([1.0, 2.0, 4.0]),
            price_out=chance.uniform(0.1, 10.0),
        )
        endpoint = Endpoint(connection, ScriptedProvider([[]]))
        for size in range(4):
            endpoint.latency.record_first_word(size, chance.uniform(0.1, 1.0), 0.0)
            endpoint.latency.record_first_clause(size, chance.uniform(0.2, 2.0), 0.0)
        endpoints.append(endpoint)
    return endpoints


def _request(session: str) -> ChatRequest:
    return replace(_REQUEST, session_id=session)


_REQUEST = ChatRequest(messages=_MESSAGES, speech=True, integration="livekit")


def _finish_reply(endpoint: Endpoint, now: float) -> None:
    """Changes the endpoint as a reply does."""
    endpoint.in_flight += 1
    endpoint.latency.record_first_word(0, 0.3, now)
    endpoint.latency.record_first_clause(0, 0.6, now)
    endpoint.in_flight -= 1


def _seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
