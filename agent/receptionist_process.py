"""Runs the receptionist of a worker in a process of its own, which ends with the worker.

It never holds up a call, and its end ends none. It is an agent of its own name at LiveKit, so that
it is called by dispatches as the agent is; but it serves all its callers in one loop, since it
mostly waits. The process comes from LiveKit's fork server, as those of calls do, and so shares its
memory with them.
"""

import asyncio
import signal
from collections.abc import Coroutine
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from livekit.agents import AgentServer, JobRequest

from agent import call_options
from agent.media_log import turn_off_media_log
from agent.presence import are_workers_full
from agent.receptionist.desk import Desk
from agent.receptionist.queue import reception_name
from agent.receptionist.sounds import Sounds
from agent.rehearsal import http_session
from agent.rescues import livekit_server
from agent.text.waiting import TypedMeanwhile
from agent.worker_log import prepare_log
from config.settings import Settings, load_settings
from llm_router.clock import SystemClock
from llm_router.errors import StoreError
from llm_router.periodic import log_bug
from llm_router.settings.loading import environment
from llm_router.store.database import Database
from llm_router.store.messages import Messages

_MOMENTS = 50
"""Callers that are served at a time besides those of the queue."""
_HANDED_ON_WITHIN = 12.0
"""Seconds in which callers are left to other receptionists or have received a goodbye."""


class Rooms:
    """The callers who are being served, each by a task."""

    def __init__(self, desk: Desk, most: int = _MOMENTS) -> None:
        self._desk = desk
        self._most = most
        self._serving: dict[str, asyncio.Task[None]] = {}

    async def take(self, request: JobRequest) -> None:
        """Serves a room from now on. To LiveKit the job is done: no process is started for it."""
        room = request.room.name
        is_new = room not in self._serving and len(self._serving) < self._most
        # With room here, no other receptionist is asked.
        await request.reject(terminate=len(self._serving) < self._most)
        if is_new:
            job = request.job
            self._start(room, self._desk.serve(room, job.room.metadata, job.metadata))

    def _start(self, room: str, serving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(serving, name=f"receptionist in {room}")
        self._serving[room] = task
        task.add_done_callback(log_bug)
        task.add_done_callback(lambda _: self._serving.pop(room, None))

    async def aclose(self) -> None:
        """Ends the service of every caller, the longer waits with a word."""
        self._desk.leave()
        if self._serving:
            await asyncio.wait([*self._serving.values()], timeout=_HANDED_ON_WITHIN)
        for task in self._serving.values():
            task.cancel()
        if self._serving:
            await asyncio.wait([*self._serving.values()])


def make_server(settings: Settings, rooms: Rooms, proxy: str | None = None) -> AgentServer:
    """Makes the worker by which LiveKit calls the receptionist. It starts no process."""
    server = AgentServer(
        num_idle_processes=0,
        load_fnc=lambda: 0.0,  # LiveKit sends nothing to a busy worker
        load_threshold=float("inf"),
        host="127.0.0.1",
        port=0,
        ws_url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        http_proxy=proxy,
        multiprocessing_context="spawn",  # none is started, and the fork server costs memory
    )
    name = reception_name(settings.agent_name)
    server.rtc_session(_nothing, agent_name=name, on_request=rooms.take)
    return server


async def _serve(settings: Settings, ends: Connection) -> None:
    """Serves callers until the worker closes its end of the connection."""
    options, sounds = call_options.desk_options(settings), Sounds()
    proxy = call_options.http_proxy(settings, environment())
    database = Database(settings.database_url.get_secret_value(), max_connections=1)

    async def is_full() -> bool:
        try:
            return await are_workers_full(database, settings.agent_name, SystemClock())
        except StoreError:
            return False  # LiveKit drops the calls that no worker takes

    messages = Messages(database, redacts_cards=settings.redact_card_numbers)
    typed = TypedMeanwhile(database, SystemClock())
    desk = Desk(
        options,
        sounds,
        partial(livekit_server, settings),
        is_full,
        messages=messages,
        describe_agent=typed.describe,
    )
    rooms = Rooms(desk, _MOMENTS + settings.queue_length)
    server = make_server(settings, rooms, proxy)

    async def speak() -> None:
        async with http_session(proxy):
            await sounds.speak(options.sentences(), lambda: call_options.load_tts(settings))

    running = asyncio.create_task(server.run())
    speaking = asyncio.create_task(speak(), name="the receptionist's sentences")
    speaking.add_done_callback(log_bug)
    ended = asyncio.create_task(_end_of(ends))
    try:
        await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (speaking, ended):
            task.cancel()
        await asyncio.wait({speaking, ended})
        await server.aclose()
        await rooms.aclose()
        await database.aclose()
    if running.done():
        await running


async def _nothing(_: Any) -> None:
    """Stands for the work of a job, which `Rooms` does."""


async def _end_of(ends: Connection) -> None:
    """Waits until the other end is closed: nothing is ever sent."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(ends.fileno(), ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(ends.fileno())


def run(ends: Connection) -> None:
    """Does the work of the process, which reads the settings as the worker does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends after the worker's calls
    settings = load_settings()
    prepare_log(settings.log_level, settings.log_format)
    if settings.log_level != "DEBUG":
        turn_off_media_log()
    asyncio.run(_serve(settings, ends))
