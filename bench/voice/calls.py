"""Calls in a real room: a LiveKit server, a worker, a model, and a caller who says sentences."""

import asyncio
import json
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.livekit_server import LiveKitServer
from agent.tokens import mint_token
from bench.report.command import Progress
from bench.voice.turns import Event, Turn, find_stages
from bench.voice.variants import ANSWER, FIRST_TOKEN, GAP, Variant, room_name
from bench.voice.worker import AGENT, EVENTS, MODEL_URL, PORT, READY, SPARE_URL
from deploy import media_server, paths
from deploy.ports import free_ports
from deploy.services import LiveKit, livekit_service
from deploy.supervisor import Service, ServiceError, Supervisor
from llm_router.testing.server import FaultyServer, Script
from tests.voice.caller import AUDIBLE, RATE, VOICES, Caller, Samples, call, sentence
from tests.voice.replies import words

SENTENCES = (
    "what_time",
    "my_bill",
    "book_appointment",
    "cancel_appointment",
    "parking",
    "yes_thank_you",
    "real_person",
)
HANG_UP_AFTER = 10.0  # s without an answer
_POLL_INTERVAL = 0.05  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A sentence that was spoken, its begin and end (loop time, s), and the turn that followed."""

    samples: Samples
    began: float
    ended: float
    turn: Turn


@dataclass(slots=True)
class Exchange:
    """The running servers and the worker, for calls one after another."""

    livekit: LiveKit
    model: FaultyServer
    spare: FaultyServer
    events: Path
    logs: Path
    _calls: int = 0

    @asynccontextmanager
    async def call(self, variant: Variant) -> AsyncIterator["Call"]:
        """Opens a call that `variant` has answered and greeted, once the worker is idle again.

        Raises ServiceError, also within the block, when the agent does not answer.
        """
        self._calls += 1
        room = room_name(variant, self._calls)
        server = LiveKitServer(self.livekit.url, self.livekit.key, self.livekit.secret)
        async with server as livekit:
            await livekit.open_room(room, AGENT, join_within=60)
        token = mint_token(
            api_key=self.livekit.key,
            api_secret=self.livekit.secret,
            identity="caller",
            name="Caller",
            room=room,
            ttl=60,
            now=time.time(),
        )
        try:
            async with call(self.livekit.url, token) as caller:
                await caller.wait_until(lambda me: me.first_sound(0.0), 30)
                await caller.wait_for_silence()
                await self._wait_for_idle_worker()
                yield Call(caller, self.model, self.events / room)
        except AssertionError as error:
            raise ServiceError(
                f"{variant.title}: the call broke off. {error}. Log: {self.logs}"
            ) from error

    async def make_healthy(self) -> None:
        """Makes the model answer without faults from the next request on."""
        await self.model.behave(Script(words=words(ANSWER), first_token_after=FIRST_TOKEN, gap=GAP))

    async def _wait_for_idle_worker(self) -> None:
        """Waits until the process for the next call has started, which takes the processor."""
        while len(_read_events(self.events / READY)) <= self._calls:  # noqa: ASYNC110  a file has no event for its growth
            await asyncio.sleep(_POLL_INTERVAL)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one caller."""

    caller: Caller
    _model: FaultyServer
    _events: Path

    async def turn(self, number: int) -> Spoken:
        """Says a sentence and waits for the end of the answer."""
        spoken = await self.say(number)
        await self.caller.wait_for_silence()
        return spoken

    async def say(self, number: int) -> Spoken:
        """Says a sentence and waits for the answer to begin.

        Sentences and voices take turns with the numbers, so that those that follow on one another
        differ in both.
        """
        said, voice = sentence(SENTENCES[number % len(SENTENCES)]), VOICES[number % len(VOICES)]
        samples = await asyncio.to_thread(said.spoken_by, voice)
        ended = await self.caller.play(samples)
        began = ended - len(samples) / RATE
        audible = await self._first_sound(ended)
        requests = [request.at for request in self._model.requests]
        turn = Turn(
            stages=find_stages(began, ended, audible, _read_events(self._events), requests),
            requests=sum(began <= at <= audible for at in requests),
            talked_over=any(
                began < sound.at <= ended and sound.rms > AUDIBLE for sound in self.caller.frames
            ),
        )
        return Spoken(samples=samples, began=began, ended=ended, turn=turn)

    async def _first_sound(self, since: float) -> float:
        try:
            at: float = await self.caller.wait_until(
                lambda me: me.first_sound(since), HANG_UP_AFTER
            )
        except AssertionError:  # it never came
            return math.inf
        return at


@asynccontextmanager
async def open_exchange() -> AsyncIterator[Exchange]:
    """Runs the servers and the worker while the block runs. Raises ServiceError if one does not
    start.
    """
    program = await asyncio.to_thread(media_server.LIVEKIT.provide)
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key="voice-turn",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    async with AsyncExitStack() as stack:
        events = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voice-turn-")))
        model = await stack.enter_async_context(FaultyServer())
        spare = await stack.enter_async_context(FaultyServer())
        logs = paths.logs_folder("voice-turn")
        processes = Supervisor(logs)
        stack.push_async_callback(processes.stop)
        await processes.start(livekit_service(program, livekit, ports))
        variables = {
            MODEL_URL: model.base_url,
            SPARE_URL: spare.base_url,
            EVENTS: str(events),
            PORT: str(ports.worker_port),
        }
        await processes.start(_worker(livekit, variables))
        yield Exchange(livekit, model, spare, events, logs)


def _worker(livekit: LiveKit, variables: Mapping[str, str]) -> Service:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")},
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        **variables,
    }
    return Service(
        "Bench worker",
        (sys.executable, "-m", "bench.voice.worker"),
        lambda log: "registered worker" in log.read_text(encoding="utf-8", errors="replace"),
        environ,
    )


def _read_events(file: Path) -> Sequence[Event]:
    if not file.exists():
        return []
    # The last line may be incomplete.
    whole, _, _ = file.read_text().rpartition("\n")
    return [(at, event) for at, event in map(json.loads, whole.splitlines())]


# ── The rounds ───────────────────────────────────────────────────────────────────────────────────


async def measure(
    exchange: Exchange,
    variants: Sequence[Variant],
    turns: int,
    rounds: int,
    progress: Progress,
) -> Mapping[str, Sequence[Turn]]:
    """Returns so many turns of each variant, by its name.

    Every round has a call of each, in turn, so that the machine's other work affects all alike.
    """
    await exchange.make_healthy()
    taken: dict[str, list[Turn]] = {variant.name: [] for variant in variants}
    for number in range(rounds):
        first = number % len(variants)
        for variant in [*variants[first:], *variants[:first]]:
            done = taken[variant.name]
            due = turns * (number + 1) // rounds
            if len(done) == due:
                continue
            async with exchange.call(variant) as own:
                while len(done) < due:
                    progress(
                        f"round {number + 1} of {rounds}, {variant.title}:"
                        f" turn {len(done) + 1} of {turns}"
                    )
                    spoken = await own.turn(len(done))
                    done.append(spoken.turn)
    return taken
