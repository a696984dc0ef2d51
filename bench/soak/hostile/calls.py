"""Callers of healthy servers, with hostile neighbours in every other spell of a run.

All share one router, as tenants of one gateway do. The neighbours are visitors who send the longest
prompts that it admits, to a server that floods and has a healthy spare.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import count, cycle

from bench.report.command import Progress
from bench.soak.calls import Load, close_breakers, steady
from bench.soak.measure import Traffic
from bench.soak.servers import HEALTHY, HOSTILE, TEXT
from llm_router import ChatRequest, Connection
from llm_router.routing.router import Router
from llm_router.types import Message

SPELL = 5.0
"""Seconds without neighbours, then with them, and so on: what else the machine does disturbs both
alike."""
_SETTLING = 1.0
"""Seconds of a spell in which turns are not compared, since the last spell's work may go on."""
NEIGHBOURS = 2.0
"""Turns a second of the neighbours."""
_OTHERS_POOL = "others"
_NEIGHBOURS_POOL = "neighbours"
LONGEST = 1_900_000
"""Characters of the longest prompt that the gateway admits, without its JSON."""
_FORGIVE_EVERY = 1.0
"""Seconds after which a hostile server is asked again, as one that floods only now and then is."""

_QUESTION: Sequence[Message] = [
    {"role": "system", "content": "You answer the telephone of a small restaurant."},
    {"role": "user", "content": "I booked a table for tonight. Is all right with it?"},
]
_PROMPTS: Sequence[Sequence[Message]] = (
    _QUESTION,
    [{"role": "user", "content": "Tell me more. " * (LONGEST // 14)}],
    [{"role": "user", "content": "more"}] * 10_000,
    [{"role": "user", "content": "Ünd so weiter? " * 200}] * 100,
    [{"role": "user", "content": "a" * LONGEST}],
)


@dataclass(slots=True)
class Noticed:
    """Times and losses of one run: plain numbers, since the bench counts the objects that a
    turn leaves behind.

    `without` and `beside` neighbours: seconds to the first word of each turn of the others, from
    the moment at which the turn was due; infinite if none came. `lost`: their replies that were not
    whole. `neighbours`: turns of those that have ended; `unanswered`: the ones without a word.
    """

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    lost: int = 0
    neighbours: int = 0
    unanswered: int = 0

    def note(self, at: float, first_word: float) -> None:
        """Notes a first word, unless its turn was due at the beginning of a spell."""
        spell, since = divmod(at, SPELL)
        if since >= _SETTLING:
            (self.beside if spell % 2 else self.without).append(first_word)


class HostileCalls:
    """Makes the turns of a run. `noticed` is of the latest one."""

    def __init__(self) -> None:
        self.noticed = Noticed()

    @property
    def traffic(self) -> Traffic:
        return Traffic(
            servers=[[HEALTHY, HEALTHY], [HOSTILE], [HEALTHY]],
            connect=connect,
            make_calls=self.make_calls,
            policy={_NEIGHBOURS_POOL: "priority"},
            warm_up=2 * SPELL,
        )

    async def make_calls(self, router: Router, load: Load, progress: Progress) -> int:
        """Makes the turns of the load and returns their number when the last has ended.

        Raises what a turn raises: none may.
        """
        self.noticed = Noticed()
        began = asyncio.get_running_loop().time()
        number = -1
        async with asyncio.TaskGroup() as beside:
            attacking = [
                beside.create_task(close_breakers(router, every=_FORGIVE_EVERY, open_for=0.0)),
                beside.create_task(self._attack_by_turns(router, load, began)),
            ]
            async with asyncio.TaskGroup() as turns, aclosing(steady(load, began)) as due:
                async for number in due:
                    turns.create_task(self._turn(router, number / load.rate, began))
                    progress(load.progress(number))
            for task in attacking:
                task.cancel()
        return number + 1

    async def _turn(self, router: Router, at: float, began: float) -> None:
        loop = asyncio.get_running_loop()
        first_word = math.inf
        text = ""
        request = ChatRequest(messages=_QUESTION, speech=True, pool=_OTHERS_POOL)
        async with aclosing(router.stream(request)) as reply:
            async for chunk in reply:
                if chunk.text and not text:
                    first_word = loop.time() - began - at
                text += chunk.text
        self.noticed.note(at, first_word)
        self.noticed.lost += text != TEXT

    async def _attack_by_turns(self, router: Router, load: Load, began: float) -> None:
        prompts = cycle(_PROMPTS)
        for spell in count(1, 2):
            start = began + spell * SPELL
            end = min(start + SPELL, began + load.seconds)
            await asyncio.sleep(start - asyncio.get_running_loop().time())
            attack = Load(seconds=SPELL, rate=NEIGHBOURS, seed=load.seed)
            with suppress(TimeoutError):
                async with (
                    asyncio.timeout_at(end),
                    asyncio.TaskGroup() as turns,
                    aclosing(steady(attack, start)) as due,
                ):
                    async for _ in due:
                        turns.create_task(self._neighbour(router, next(prompts)))

    async def _neighbour(self, router: Router, prompt: Sequence[Message]) -> None:
        request = ChatRequest(messages=prompt, speech=True, pool=_NEIGHBOURS_POOL)
        async with aclosing(router.stream(request)) as reply:
            async for _ in reply:
                pass
        self.noticed.neighbours += 1
        self.noticed.unanswered += not any(one.delivered for one in reply.event.tries)


def connect(base_urls: Sequence[str]) -> Sequence[Connection]:
    """Makes the connections to two healthy servers, to a hostile one, and to its spare."""
    names = ("first", "second", "hostile", "spare")
    pools = (_OTHERS_POOL, _OTHERS_POOL, _NEIGHBOURS_POOL, _NEIGHBOURS_POOL)
    return [
        Connection(name=name, base_url=url, model_name="faulty", priority=place, pool=pool)
        for place, (name, url, pool) in enumerate(zip(names, base_urls, pools, strict=True))
    ]
