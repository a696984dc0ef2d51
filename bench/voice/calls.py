"""Calls in a real room: a LiveKit server, a worker, a model, and a caller who says sentences."""

import asyncio
import json
import math
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.tokens import mint_token
from bench.voice.turns import Note, Turn, take_apart
from bench.voice.variants import ANSWER, FIRST_TOKEN, GAP, Variant, room_name
from bench.voice.worker import AGENT, MODEL_URL, NOTES, PORT, READY, SPARE_URL
from deploy import media_server, paths
from deploy.demo import LiveKit, free_ports, livekit_service
from deploy.supervisor import Service, ServiceError, Supervisor
from llm_router.testing.server import FaultyServer, Script
from tests.voice.caller import AUDIBLE, RATE, Caller, Sentence, call, read_wav, sentence
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
HANGS_UP = 10.0  # s without an answer
_LOOK_EVERY = 0.05  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A turn as it went by on the clock: the sentence, from when to when (s), what came of it."""

    sentence: Sentence
    began: float
    ended: float
    turn: Turn


@dataclass(slots=True)
class Exchange:
    """All that runs, for calls one after another."""

    livekit: LiveKit
    model: FaultyServer
    spare: FaultyServer
    notes: Path
    logs: Path
    _calls: int = 0

    @asynccontextmanager
    async def call(self, variant: Variant) -> AsyncIterator["Call"]:
        """A call that `variant` has answered and greeted; the worker has come to rest.

        Raises ServiceError, also within the block, when the agent does not do its part.
        """
        self._calls += 1
        room = room_name(variant, self._calls)
        token = mint_token(
            api_key=self.livekit.key,
            api_secret=self.livekit.secret,
            identity="caller",
            name="Caller",
            room=room,
            agent_name=AGENT,
            ttl=60,
            now=time.time(),
        )
        try:
            async with call(self.livekit.url, token) as caller:
                await caller.until(lambda me: me.first_sound(0.0), 30)
                await caller.silence()
                await self._worker_at_rest()
                yield Call(caller, self.model, self.notes / room)
        except AssertionError as broken:
            raise ServiceError(
                f"{variant.title}: the call broke off. {broken}. Log: {self.logs}"
            ) from broken

    async def be_well(self) -> None:
        """The model answers as it should, from the next request on."""
        await self.model.behave(Script(words=words(ANSWER), first_token_after=FIRST_TOKEN, gap=GAP))

    async def _worker_at_rest(self) -> None:
        """It starts a process for the next call, which takes the processor for a while."""
        while len(_read(self.notes / READY)) <= self._calls:  # noqa: ASYNC110  a file tells nobody that it grew
            await asyncio.sleep(_LOOK_EVERY)


@dataclass(frozen=True, slots=True)
class Call:
    caller: Caller
    _model: FaultyServer
    _notes: Path

    async def turn(self, name: str) -> Spoken:
        """Say a sentence, wait for the answer and hear it out."""
        spoken = await self.say(name)
        await self.caller.silence()
        return spoken

    async def say(self, name: str) -> Spoken:
        """Say a sentence and wait for the answer to begin."""
        said = sentence(name)
        length = len(await asyncio.to_thread(read_wav, said.file)) / RATE
        ended = await self.caller.say(said)
        began = ended - length
        heard = await self._first_sound(ended)
        turn = Turn(
            stages=take_apart(
                began,
                ended,
                heard,
                _read(self._notes),
                [asked.at for asked in self._model.requests],
            ),
            asked=sum(began <= asked.at <= heard for asked in self._model.requests),
            talked_over=any(
                began < sound.at <= ended and sound.rms > AUDIBLE for sound in self.caller.heard
            ),
        )
        return Spoken(sentence=said, began=began, ended=ended, turn=turn)

    async def _first_sound(self, since: float) -> float:
        try:
            found: float = await self.caller.until(lambda me: me.first_sound(since), HANGS_UP)
        except AssertionError:  # it never came
            return math.inf
        return found


@asynccontextmanager
async def exchange() -> AsyncIterator[Exchange]:
    """Start everything; stop it whatever happens. Raises ServiceError for what does not start."""
    program = await asyncio.to_thread(media_server.provide)
    ports = free_ports()
    livekit = LiveKit(
        url=f"ws://127.0.0.1:{ports.livekit_port}",
        key="voice-turn",
        secret=secrets.token_urlsafe(32),
        ours=True,
    )
    async with AsyncExitStack() as stack:
        notes = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voice-turn-")))
        model = await stack.enter_async_context(FaultyServer())
        spare = await stack.enter_async_context(FaultyServer())
        logs = paths.logs_folder("voice-turn")
        processes = Supervisor(logs)
        stack.push_async_callback(processes.stop)
        await processes.start(livekit_service(program, livekit, ports))
        told = {
            MODEL_URL: model.base_url,
            SPARE_URL: spare.base_url,
            NOTES: str(notes),
            PORT: str(ports.worker_port),
        }
        await processes.start(_worker(livekit, told))
        yield Exchange(livekit, model, spare, notes, logs)


def _worker(livekit: LiveKit, told: Mapping[str, str]) -> Service:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")},
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.key,
        "LIVEKIT_API_SECRET": livekit.secret,
        **told,
    }
    return Service(
        "Bench worker",
        (sys.executable, "-m", "bench.voice.worker"),
        lambda log: "registered worker" in log.read_text(encoding="utf-8", errors="replace"),
        environ,
    )


def _read(notes: Path) -> Sequence[Note]:
    if not notes.exists():
        return []
    # The last line may still be on its way.
    whole, _, _ = notes.read_text().rpartition("\n")
    return [(at, what) for at, what in map(json.loads, whole.splitlines())]


# ── The rounds ───────────────────────────────────────────────────────────────────────────────────


async def measure(
    at: Exchange,
    variants: Sequence[Variant],
    turns: int,
    rounds: int,
    progress: Callable[[str], None],
) -> Mapping[str, Sequence[Turn]]:
    """So many turns of each variant, by its name: in every round a call of each, in turn, so that
    whatever else the machine does hits all alike.
    """
    await at.be_well()
    heard: dict[str, list[Turn]] = {variant.name: [] for variant in variants}
    for number in range(rounds):
        first = number % len(variants)
        for variant in [*variants[first:], *variants[:first]]:
            done = heard[variant.name]
            due = turns * (number + 1) // rounds
            if len(done) == due:
                continue
            async with at.call(variant) as line:
                while len(done) < due:
                    progress(
                        f"round {number + 1} of {rounds}, {variant.title}:"
                        f" turn {len(done) + 1} of {turns}"
                    )
                    spoken = await line.turn(SENTENCES[len(done) % len(SENTENCES)])
                    done.append(spoken.turn)
    return heard
