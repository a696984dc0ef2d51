"""The contenders: the router with each policy and hedge budget, and the peers."""

from collections.abc import Sequence
from dataclasses import replace

from bench.outage.peers import PEERS
from bench.outage.server import SimulatedServer
from bench.outage.simulation import OpenContender
from llm_router.assembly import POLICIES
from llm_router.clock import Clock, SystemRng
from llm_router.connections.record import Connection
from llm_router.options import RouterOptions
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.pool import Pool
from llm_router.routing.router import Reply, Router
from llm_router.types import ChatRequest

BUDGETS = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20)
DEFAULT = RouterOptions().hedge_budget
DEFAULT_POLICY = "latency"


class Patchbay:
    """The real router over simulated servers."""

    def __init__(
        self,
        servers: Sequence[SimulatedServer],
        clock: Clock,
        number: int,
        policy: str,
        budget: float,
    ) -> None:
        options = replace(RouterOptions(), hedge_budget=budget)
        endpoints = [
            Endpoint(_connection(server, place), server, options.breaker)
            for place, server in enumerate(servers)
        ]
        chosen = POLICIES.load(policy)()
        pool = Pool(endpoints, chosen, options.target, rng=SystemRng(number))
        self._router = Router(pool, options, clock=clock)

    def reply(self, request: ChatRequest) -> Reply:
        return self._router.stream(request)

    async def aclose(self) -> None:
        await self._router.aclose()


def _connection(simulated: SimulatedServer, place: int) -> Connection:
    server = simulated.server
    return Connection(
        name=server.name, priority=place, price_in=server.price_in, price_out=server.price_out
    )


def patchbay(policy: str = DEFAULT_POLICY, budget: float = DEFAULT) -> OpenContender:
    return lambda servers, clock, number: Patchbay(servers, clock, number, policy, budget)


def budget_name(budget: float) -> str:
    return f"{DEFAULT_POLICY}, hedges {budget:.0%}"


CONTENDERS: dict[str, OpenContender] = (
    {policy: patchbay(policy) for policy in POLICIES.names()}
    | {budget_name(b): patchbay(budget=b) for b in BUDGETS if b != DEFAULT}
    | PEERS
)
