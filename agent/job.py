"""Runs one call in its own process: loads what it needs beforehand, then answers it."""

import asyncio
import logging
import os
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from livekit.agents import JobContext, JobProcess, telemetry
from opentelemetry.sdk.trace import TracerProvider

from agent import assistants
from agent.assistant import Assistant
from agent.assistants import KnownAssistants
from agent.budget import Refusal, Step
from agent.call_log import CallLog, LoggedCall
from agent.call_options import (
    call_limits,
    choose_stt,
    choose_tts,
    import_engines,
    load_engines,
    load_other_engines,
    needs_other_engines,
    router_options,
    settings_of,
    store_options,
    stt_options,
    tts_options,
    turn_options,
    worker_name,
)
from agent.call_tools import CallTools
from agent.dispatch import Dispatch
from agent.guard import CallGuard
from agent.load import LoadBoard, LoadReporter
from agent.phrase_file import load_phrases
from agent.rehearsal import rehearse
from agent.route_notes import RouteNotes
from agent.session import Engines, build_session, hang_up_at_end, room_options
from agent.starts import Starts
from agent.survival.black_box import BlackBox
from agent.survival.journal import Journal
from agent.survival.restore import Resumption
from agent.survival.takeover import StaleError, take_over
from agent.telemetry import send_traces, share_metrics
from agent.text_input import TextAnswers
from agent.toolbox.effects import Effects
from agent.tools.base import ToolContext
from agent.typed_messages import TypedMessages
from config.settings import Settings, load_settings
from llm_router import stored_router
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError, RouterError
from llm_router.integrations.livekit import RouterLLM
from llm_router.net.guard import AddressGuard
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.settings.loading import SettingsError, environment
from llm_router.store.calls import CallStore
from llm_router.store.messages import Messages
from llm_router.stored_router import KnownConnections, open_stored_router, opened_database
from llm_router.telemetry.opentelemetry import OpenTelemetryObserver
from llm_router.telemetry.prometheus import PrometheusObserver
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import CallAgent, CallFacts
from llm_router.voice.redaction import redact

_logger = logging.getLogger("agent")

FOLDER = "PATCHBAY_WORKER_FOLDER"
"""Environment variable that names the worker's folder, in which its call processes leave their load
and their metrics."""
_RESOURCES = "patchbay"
END_REASONS: Mapping[str, str] = {
    Step.END_SILENT: "silence",
    Step.END_LONG: "too long",
    Refusal.CALL: "limit",
}
"""Reason of the end of a call by the guard's occasion."""
_TOOLS = ("time", "documents", "end_call")
_PAUSE = 2.0
"""Seconds that a process waits before it ends, if the one before it did not come up either."""
_THREADS = 32
"""Threads for what libraries do beside the call. With asyncio's usual handful, plugins that ask for
dead names would leave none for the detection of turns."""


class StartError(Exception):
    """The process cannot answer a call. The message says why and goes to the worker's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResources:
    """Everything that a process loads before its call, so that the caller need not wait for it."""

    settings: Settings
    engines: Engines
    phrases: Phrases
    instructions: str
    known: KnownConnections
    """Connections as they were when the process started."""
    assistants: KnownAssistants
    """Assistants as they were then."""
    tracing: TracerProvider | None
    observers: tuple[Observer, ...]


def prewarm(process: JobProcess) -> None:
    """Loads the resources of the call that the process will answer; see `resources_of`.

    The first process of a worker also rehearses the call's speech. Raises StartError, which ends
    the process and tells the worker why.
    """
    starts = call_starts()
    failures = starts.failures
    try:
        settings = load_settings()
        with starts.rehearsal() as is_due:
            if is_due:
                asyncio.run(_rehearse(settings, process.http_proxy))
        process.userdata[_RESOURCES] = _load(settings)
    except Exception as error:
        if starts.is_failing:  # LiveKit starts the next process at once: it would do nothing else
            asyncio.run(SystemClock().sleep(_PAUSE))
        raise StartError(_reason(error)) from error
    starts.succeeded(failures)


def _reason(error: Exception) -> str:
    """Returns what the worker logs: a sentence, and for a bug where it happened."""
    if isinstance(error, RouterError | SettingsError | OSError):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()


def _load(settings: Settings) -> JobResources:
    known = asyncio.run(_known_assistants(settings))
    for record in known.all.values():
        import_engines(settings_of(settings, record))
    return JobResources(
        settings=settings,
        engines=load_engines(settings),
        phrases=load_phrases(settings.phrases_file),
        instructions=settings.assistant_prompt_file.read_text(encoding="utf-8"),
        known=asyncio.run(stored_router.load_known(store_options(settings), environment())),
        assistants=known,
        tracing=_start_tracing(settings),
        observers=_observers(settings),
    )


async def load_assistants(settings: Settings) -> KnownAssistants:
    """Reads the assistants that there are. Raises ConfigurationError."""
    return await assistants.load_known(
        store_options(settings), settings.assistants_file, environment()
    )


async def _known_assistants(settings: Settings) -> KnownAssistants:
    """Reads the assistants; a file that was spoilt after the worker's start ends no call."""
    try:
        return await load_assistants(settings)
    except ConfigurationError as error:
        _logger.error("calls have only stored assistants: %s", error)  # noqa: TRY400  the message says it all
        return await assistants.load_known(store_options(settings), None, {})


def resources_of(process: JobProcess) -> JobResources:
    """Returns what `prewarm` has loaded in this process."""
    resources: JobResources = process.userdata[_RESOURCES]
    return resources


async def answer(ctx: JobContext) -> None:
    """Answers one call; LiveKit's shutdown callback closes everything that was opened for it."""
    resources = resources_of(ctx.proc)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    dispatch = Dispatch.from_metadata(ctx.job.metadata)
    record, settings, engines = await _assistant_of(dispatch, resources)
    board = load_board()
    async with AsyncExitStack() as stack:
        box = stack.enter_context(BlackBox(black_box(os.getpid())))
        if resources.tracing:
            stack.push_async_callback(asyncio.to_thread, resources.tracing.shutdown)
        stack.callback(board.remove)
        reporter = LoadReporter(board)
        limits = call_limits(settings, record)
        guard = CallGuard(limits, resources.phrases, settings.agent_language)
        database = await stack.enter_async_context(opened_database(store_options(settings)))
        calls = CallStore(database)
        logged = logged_call(ctx, dispatch, record, settings)
        log = CallLog(calls, logged)
        redacted = redact if logged.redacts_cards else str
        journal = Journal(box, SystemClock(), log.voiced, redacted)
        await stack.enter_async_context(journal.beating())
        try:
            resumption = await _take_over(
                calls, ctx.room.name, dispatch, settings, resources.phrases
            )
        except StaleError:
            ctx.shutdown("another agent answers the call")
            return
        router = await stack.enter_async_context(
            open_stored_router(
                store_options(settings),
                resources.known,
                policy=settings.router_policy,
                options=router_options(settings),
                phrases=resources.phrases,
                observers=[reporter, guard, log, *resources.observers],
                database=database,
            )
        )
        reporter.saturation = router.saturation
        # By the time the caller has been greeted, TLS to the model servers is open.
        warming = asyncio.create_task(router.warm())
        stack.push_async_callback(_cancel, warming)
        llm = RouterLLM(
            router,
            session_id=ctx.room.name,
            language=settings.agent_language,
            pool=record.pool,
        )
        session = build_session(llm, engines, turn_options(settings))
        stack.push_async_callback(log.aclose)
        if settings.names_are_public:
            stack.push_async_callback(RouteNotes(session, ctx.room).aclose)
        typed = TypedMessages(session, guard, TextAnswers().answer, limits.message_characters)
        stack.push_async_callback(typed.aclose)
        stack.push_async_callback(guard.aclose)
        tools = _tools_of(ctx, resources, record, settings, Messages(database))
        stack.push_async_callback(tools.aclose)
        ctx.add_shutdown_callback(stack.pop_all().aclose)
        assistant = Assistant(
            instructions=(
                resources.instructions if record.instructions is None else record.instructions
            ),
            phrases=resources.phrases,
            language=settings.agent_language,
            filler_after=settings.filler_after,
            greeting=settings.agent_greeting,
            guard=guard,
            history_characters=settings.history_max_characters,
            tools=tools.tools,
            tool_phrases=tools.says,
            resumption=resumption,
        )
        typed.receive_from(ctx.room)
        journal.follow(session)
        hang_up_at_end(session, ctx)
        log.start(session, ctx.room, lambda: END_REASONS.get(guard.ended_for, guard.ended_for))
        await session.start(
            assistant,
            room=ctx.room,
            room_options=room_options(journal),
            # LiveKit's remote session lets any participant read the prompt and drive the agent.
            session_host=False,
            record=False,
        )
        guard.start(session)
        tools.connect(assistant)


def _tools_of(
    ctx: JobContext,
    resources: JobResources,
    record: AssistantRecord,
    settings: Settings,
    messages: Messages,
) -> CallTools:
    """Makes the tools of a call: those of its assistant, or the usual ones."""
    call_id = ctx.job.room.sid  # a room that is opened again is another call
    context = ToolContext(
        phrases=resources.phrases,
        language=settings.agent_language,
        call_id=call_id,
        room=ctx.room.name,
        assistant=record.name,
        effects=Effects(call_id),
        messages=messages,
        documents=settings.documents_folder,
    )
    return CallTools(
        context,
        _TOOLS if record.tools is None else record.tools,
        record.http_tools,
        record.mcp_servers,
        AddressGuard(allowed=settings.allowed_addresses),
    )


async def _assistant_of(
    dispatch: Dispatch, resources: JobResources
) -> tuple[AssistantRecord, Settings, Engines]:
    """Returns the assistant of a call as it is now, with the settings and engines for it."""
    usual = resources.settings
    known = await assistants.refresh(resources.assistants, store_options(usual), dispatch.assistant)
    record = known.find(dispatch.assistant)
    settings = settings_of(usual, record)
    engines = resources.engines
    if needs_other_engines(settings, usual):
        import_engines(settings)  # done already for the assistants that the process knows
        engines = await asyncio.to_thread(load_other_engines, settings, usual, engines)
    return record, settings, engines


def logged_call(
    ctx: JobContext, dispatch: Dispatch, record: AssistantRecord, settings: Settings
) -> LoggedCall:
    """Returns what is known of a call before its caller has come."""
    agent = CallAgent(
        identity=ctx.token_claims().identity, worker=worker_name(settings), job=ctx.job.id
    )
    facts = CallFacts(
        assistant=record.name,
        caller=dispatch.caller,
        keep=record.keep or settings.call_retention,
        keep_days=record.keep_days,
    )
    redacts = record.redact_card_numbers
    return LoggedCall(
        room=ctx.room.name,
        epoch=dispatch.epoch,
        agent=agent,
        facts=facts,
        redacts_cards=settings.redact_card_numbers if redacts is None else redacts,
    )


async def _take_over(
    calls: CallStore, room: str, dispatch: Dispatch, settings: Settings, phrases: Phrases
) -> Resumption | None:
    """Returns where the agent before has stopped; None: this is the first. Raises StaleError."""
    if dispatch.epoch == 1:
        return None
    language = settings.agent_language
    return await take_over(
        calls,
        room,
        dispatch,
        SystemClock(),
        greeting=settings.agent_greeting or phrases.pick("greeting", language, 0),
        apology=phrases.pick("away", language, 0),
    )


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


def load_board() -> LoadBoard:
    """Opens the board on which this worker's call processes report their load."""
    return LoadBoard(Path(os.environ[FOLDER]) / "load")


def call_starts() -> Starts:
    """Opens the files in which this worker's call processes report that they have come up."""
    return Starts(Path(os.environ[FOLDER]) / "starts")


def black_box(process: int) -> Path:
    """Returns the file in which a call process of this worker leaves how far its call is."""
    return Path(os.environ[FOLDER]) / "calls" / str(process)


def metrics_folder() -> Path:
    """Returns the folder in which this worker's processes keep their metrics."""
    return Path(os.environ[FOLDER]) / "metrics"


async def _rehearse(settings: Settings, proxy: str | None) -> None:
    await rehearse(
        choose_tts(settings).engine,
        tts_options(settings),
        choose_stt(settings).engine,
        stt_options(settings),
        proxy,
    )


def _start_tracing(settings: Settings) -> TracerProvider | None:
    endpoint = settings.otel_exporter_otlp_endpoint
    return send_traces(endpoint) if endpoint else None


def _observers(settings: Settings) -> tuple[Observer, ...]:
    """Makes the observers that the settings ask for; one that is off costs nothing."""
    observers: list[Observer] = []
    if settings.prometheus_port:
        share_metrics(metrics_folder())
        observers.append(PrometheusObserver())
    if settings.otel_exporter_otlp_endpoint:
        observers.append(OpenTelemetryObserver(telemetry.tracer))
    return tuple(observers)
