"""Answers one call in its own process."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

from livekit.agents import JobContext

from agent import assistants
from agent.assistant import Assistant
from agent.budget import Refusal, Step
from agent.call_log import CallLog, LoggedCall
from agent.call_options import (
    call_limits,
    import_engines,
    load_other_engines,
    needs_other_engines,
    router_options,
    settings_of,
    store_options,
    turn_options,
    worker_name,
)
from agent.call_tools import CallTools
from agent.dispatch import Dispatch
from agent.guard import CallGuard
from agent.load import LoadReporter
from agent.prewarm import JobResources, resources_of
from agent.progress import Progress
from agent.route_notes import RouteNotes
from agent.session import Engines, build_session, hang_up_at_end, room_options
from agent.survival.black_box import BlackBox
from agent.survival.journal import Journal
from agent.survival.orphan import connection_of, ending_with
from agent.survival.restore import Resumption
from agent.survival.takeover import StaleError, take_over
from agent.text_input import TextAnswers
from agent.toolbox.earlier import recall_runs
from agent.toolbox.effects import Effects
from agent.tools.base import ToolContext
from agent.typed_messages import TypedMessages
from agent.worker_folder import black_box, load_board
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.integrations.livekit import RouterLLM
from llm_router.net.guard import AddressGuard
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.routing.router import Router
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.store.messages import Messages
from llm_router.stored_router import open_stored_router, opened_database
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import CallAgent, CallFacts

_logger = logging.getLogger("agent")

END_REASONS: Mapping[str, str] = {
    Step.END_SILENT: "silence",
    Step.END_LONG: "too long",
    Refusal.CALL: "limit",
}
"""Reason of the end of a call by the guard's occasion."""
_TOOLS = ("time", "documents", "end_call")
_THREADS = 32
"""Threads for what libraries do beside the call. With asyncio's usual handful, plugins that ask for
dead names would leave none for the detection of turns."""


async def answer(ctx: JobContext) -> None:
    """Answers one call; LiveKit's shutdown callback closes everything that was opened for it."""
    resources = resources_of(ctx.proc)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    dispatch = Dispatch.from_metadata(ctx.job.metadata)
    async with AsyncExitStack() as stack:
        box = stack.enter_context(BlackBox(black_box(os.getpid())))
        options = store_options(resources.settings)
        database = await stack.enter_async_context(opened_database(options))
        record, settings, engines = await _assistant_of(dispatch, resources, database)
        if resources.tracing:
            stack.push_async_callback(asyncio.to_thread, resources.tracing.shutdown)
        limits = call_limits(settings, record)
        guard = CallGuard(limits, resources.phrases, settings.agent_language)
        calls = CallStore(database)
        logged = logged_call(ctx, dispatch, record, settings)
        effects = Effects(ctx.job.room.sid)  # a room that is opened again is another call
        progress = Progress(effects)
        log = _ended_with_worker(stack, ctx, settings, CallLog(calls, logged, progress=progress))
        journal = Journal(box, SystemClock(), progress, redacts_cards=logged.redacts_cards)
        await stack.enter_async_context(journal.beating())
        try:
            resumption = await _take_over(
                calls, ctx.room.name, dispatch, settings, resources.phrases
            )
        except StaleError:
            ctx.shutdown("another agent answers the call")
            return
        if resumption:
            guard.resume(resumption.so_far)
        router = await _open_router(stack, resources, settings, [guard, log], database)
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
        if resumption:
            recall_runs(effects, resumption.context)
        messages = Messages(database, redacts_cards=logged.redacts_cards)
        tools = _tools_of(ctx, resources, record, settings, effects=effects, messages=messages)
        stack.push_async_callback(tools.aclose)
        ctx.add_shutdown_callback(stack.pop_all().aclose)
        assistant = _make_agent(resources, record, settings, guard, tools, resumption)
        typed.receive_from(ctx.room)
        progress.follow(session)
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


def _ended_with_worker(
    stack: AsyncExitStack, ctx: JobContext, settings: Settings, log: CallLog
) -> CallLog:
    """Returns the log; if the worker dies until the end of `stack`, its last words are stored."""
    stack.enter_context(ending_with(connection_of(ctx), partial(_leave, log, settings)))
    return log


async def _leave(log: CallLog, settings: Settings) -> None:
    """Stores how far the call is, from another event loop than the call's."""
    async with opened_database(store_options(settings)) as database:
        await log.leave(CallStore(database))


async def _open_router(
    stack: AsyncExitStack,
    resources: JobResources,
    settings: Settings,
    observers: Sequence[Observer],
    database: Database,
) -> Router:
    """Opens the call's router until the end of `stack`; it reports its load to the worker."""
    board = load_board()
    stack.callback(board.remove)
    reporter = LoadReporter(board)
    router = await stack.enter_async_context(
        open_stored_router(
            store_options(settings),
            resources.known,
            policy=settings.router_policy,
            options=router_options(settings),
            phrases=resources.phrases,
            observers=[reporter, *observers, *resources.observers],
            database=database,
        )
    )
    reporter.saturation = router.saturation
    # By the time the caller has been greeted, TLS to the model servers is open.
    warming = asyncio.create_task(router.warm())
    stack.push_async_callback(_cancel, warming)
    return router


def _make_agent(  # noqa: PLR0917  parts of one call, each of its own type
    resources: JobResources,
    record: AssistantRecord,
    settings: Settings,
    guard: CallGuard,
    tools: CallTools,
    resumption: Resumption | None,
) -> Assistant:
    own = record.instructions
    return Assistant(
        instructions=resources.instructions if own is None else own,
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


def _tools_of(
    ctx: JobContext,
    resources: JobResources,
    record: AssistantRecord,
    settings: Settings,
    *,
    effects: Effects,
    messages: Messages,
) -> CallTools:
    """Makes the tools of a call: those of its assistant, or the usual ones."""
    context = ToolContext(
        phrases=resources.phrases,
        language=settings.agent_language,
        call_id=ctx.job.room.sid,
        room=ctx.room.name,
        assistant=record.name,
        effects=effects,
        messages=messages,
        documents=resources.documents,
    )
    return CallTools(
        context,
        _TOOLS if record.tools is None else record.tools,
        record.http_tools,
        record.mcp_servers,
        AddressGuard(allowed=settings.allowed_addresses),
    )


async def _assistant_of(
    dispatch: Dispatch, resources: JobResources, database: Database
) -> tuple[AssistantRecord, Settings, Engines]:
    """Returns the assistant of a call as it is now, with the settings and engines for it."""
    usual = resources.settings
    options = store_options(usual)
    known = await assistants.refresh(resources.assistants, database, options, dispatch.assistant)
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
    language, greeting = settings.agent_language, settings.agent_greeting
    return await take_over(
        calls,
        room,
        dispatch,
        SystemClock(),
        greeting=phrases.pick("greeting", language, 0) if greeting is None else greeting,
        apology=phrases.pick("away", language, 0),
    )


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
