"""Answers one call in its own process."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from livekit.agents import AgentSession, JobContext
from livekit.agents.llm import ChatContext

from agent.assistant import Assistant
from agent.budget import Refusal, Step
from agent.call_log import CallLog
from agent.call_options import import_engines, load_tts, settings_by_language, turn_options
from agent.call_settings import router_options, store_options
from agent.call_start import StartedCall, begin, meet
from agent.call_tools import CallTools
from agent.call_transfers import receive_whispers, transfers_of
from agent.guard import CallGuard
from agent.languages import CallLanguages, LanguageRule
from agent.load import LoadReporter
from agent.outgoing import callee_of, filled
from agent.phone.callee import Callee
from agent.phone.caller import PhoneCaller, describe
from agent.phone.keys import CallerKeys
from agent.phone.line import Line
from agent.phone.transfer.transfers import Transfers
from agent.phone.voicemail import Envelope, Voicemail, words_of_caller
from agent.prewarm import resources_of
from agent.progress import Progress
from agent.rescues import livekit_server
from agent.route_notes import RouteNotes
from agent.session import Engines, build_session, hang_up_at_end, room_options, say_goodbye
from agent.speech.voices import Voices, add_voices
from agent.survival.black_box import BlackBox
from agent.survival.fence import Fence
from agent.survival.identity import ROOM_ID
from agent.survival.journal import Journal
from agent.survival.orphan import connection_of, ending_with
from agent.survival.rejoin import Rejoin
from agent.survival.restore import Resumption, after
from agent.survival.takeover import StaleError, take_over
from agent.text_input import TextAnswers
from agent.toolbox.earlier import recall_runs
from agent.tools import USUAL
from agent.tools.base import ToolContext
from agent.trial_call import named
from agent.typed_messages import TypedMessages
from agent.worker_folder import black_box, load_board
from config.settings import Settings
from llm_router.clock import SystemClock
from llm_router.integrations.livekit import RouterLLM
from llm_router.net.guard import AddressGuard
from llm_router.routing.events import Observer
from llm_router.routing.router import Router
from llm_router.store.calls import CallStore
from llm_router.store.messages import Messages
from llm_router.stored_router import open_stored_router, opened_database
from llm_router.voice.phone.rooms import is_phone_room

_logger = logging.getLogger("agent")

END_REASONS: Mapping[str, str] = {
    Step.END_SILENT: "silence",
    Step.END_LONG: "too long",
    Refusal.CALL: "limit",
}
"""The stored reason of a call's end, by the step or refusal with which the guard ended it."""
_THREADS = 32
"""Threads for what libraries do beside the call. With asyncio's usual handful, plugins that ask for
dead names would leave none for the detection of turns."""


async def answer(ctx: JobContext) -> None:
    """Answers one call; LiveKit's shutdown callback closes everything that was opened for it."""
    resources = resources_of(ctx.proc)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    async with AsyncExitStack() as stack:
        box = stack.enter_context(BlackBox(black_box(ctx.job.id)))
        options = store_options(resources.settings)
        database = await stack.enter_async_context(opened_database(options))
        call = await begin(ctx, resources, database)
        if resources.tracing:
            stack.push_async_callback(asyncio.to_thread, resources.tracing.shutdown)
        calls = CallStore(database)
        progress = Progress(call.effects)
        log = CallLog(calls, call.logged, progress=progress)
        leave = partial(_leave, log, call.settings)
        stack.enter_context(ending_with(connection_of(ctx), leave, box.stop))
        journal = Journal(box, SystemClock(), progress, redacts_cards=call.logged.redacts_cards)
        await stack.enter_async_context(journal.beating())
        try:
            resumption = await _take_over(calls, call)
        except StaleError:
            ctx.shutdown("another agent answers the call")
            return
        if resumption:
            call.guard.resume(resumption.so_far)
            recall_runs(call.effects, resumption.context)
        await _converse(call, stack, log, journal, resumption)


async def _converse(
    call: StartedCall,
    stack: AsyncExitStack,
    log: CallLog,
    journal: Journal,
    resumption: Resumption | None,
) -> None:
    """Starts the session of a call; the shutdown of its job closes the stack."""
    ctx, settings, guard = call.ctx, call.settings, call.guard
    caller = await meet(call, log)
    llm = await _open_llm(call, stack, [guard, log])
    languages, engines = await _languages_of(call, stack, resumption)
    session = build_session(llm, engines, turn_options(settings))
    stack.push_async_callback(log.aclose)
    fence = Fence(ctx.room, ctx.shutdown)
    stack.push_async_callback(fence.aclose)
    log.on_superseded = fence.leave
    _watch_replies(call, stack, session)
    typed = _typed_messages_of(call, stack, session)
    stack.push_async_callback(guard.aclose)
    keys = _keys_of(call, session)
    if keys:
        stack.push_async_callback(keys.aclose)
    messages = Messages(call.database, redacts_cards=call.logged.redacts_cards)
    transfers = transfers_of(call, session, log)
    tools = _tools_of(call, keys, messages, transfers, partial(say_goodbye, session))
    stack.push_async_callback(tools.aclose)
    callee = callee_of(call, llm, log, resumption)
    if callee:
        stack.push_async_callback(callee.aclose)
        resumption = None  # no person was met: it greets whom it finds to be one
    assistant = _make_agent(call, tools, caller, languages, resumption, callee=callee)
    stack.push_async_callback(receive_whispers(call, assistant).aclose)
    line = Line(session, ctx.room)
    stack.callback(line.close)
    rejoin = Rejoin(
        session,
        ctx.room,
        journal,
        partial(_describe_room, settings),
        SystemClock(),
        on_new_room=lambda room_id: log.learn(metadata={ROOM_ID: room_id}),
        on_alone=line.end,
    )
    stack.push_async_callback(rejoin.aclose)
    voicemail = _voicemail_of(call, messages, keys, caller, resumption) if keys else None
    if voicemail:
        stack.push_async_callback(voicemail.aclose)
    ctx.add_shutdown_callback(stack.pop_all().aclose)
    more = [transfers] if transfers else []
    languages.tell(guard, llm, tools.context, *more, *([log] if languages.are_several else []))
    if call.terms is None or "text" in call.terms.modes:
        typed.receive()
    log.progress.follow(session)
    journal.follow(session, may_rest=lambda: callee is None or not callee.is_unknown)
    hang_up_at_end(session, ctx)
    line.follow()
    log.start(session, ctx.room, partial(_why_ended, guard, line, callee, transfers))
    await session.start(
        voicemail or assistant,
        room=ctx.room,
        room_options=room_options(rejoin),
        # LiveKit's remote session lets any participant read the prompt and drive the agent.
        session_host=False,
        record=False,
    )
    fence.check()
    rejoin.start(ctx.job.room.sid, is_later=call.dispatch.epoch > 1)
    guard.start(session)
    line.start(is_inbound=is_phone_room(ctx.room.name) and call.dispatch.outgoing is None)
    if voicemail is None:  # a message is taken without tools
        tools.connect(assistant)


async def _leave(log: CallLog, settings: Settings) -> None:
    """Stores how far the call is, from another event loop than the call's."""
    async with opened_database(store_options(settings)) as database:
        await log.leave(CallStore(database))


async def _describe_room(settings: Settings, room: str, metadata: str) -> None:
    async with livekit_server(settings) as livekit:
        await livekit.describe_room(room, metadata)


async def _open_llm(
    call: StartedCall, stack: AsyncExitStack, observers: Sequence[Observer]
) -> RouterLLM:
    """Opens the call's router until the end of `stack`; it reports its load to the worker."""
    board = load_board()
    stack.callback(board.remove)
    reporter = LoadReporter(board)
    router = await stack.enter_async_context(
        open_stored_router(
            store_options(call.settings),
            call.resources.known,
            policy=call.settings.router_policy,
            options=router_options(call.settings),
            phrases=call.resources.phrases,
            observers=[reporter, *observers, *call.resources.observers],
            database=call.database,
        )
    )
    reporter.saturation = router.saturation
    # By the time the caller has been greeted, TLS to the model servers is open.
    warming = asyncio.create_task(router.warm())
    stack.push_async_callback(_cancel, warming)
    return RouterLLM(
        router,
        session_id=call.ctx.room.name,
        language=call.settings.agent_language,
        pool=call.record.pool,
        account=call.account,
        assistant=call.record.name,
        among=lambda: named(call.trial, _names_by_id(router)),  # one may be renamed meanwhile
        options=call.trial.options if call.trial else {},
    )


def _names_by_id(router: Router) -> Mapping[str, str]:
    return {endpoint.connection.id: endpoint.name for endpoint in router.pool.endpoints}


async def _languages_of(
    call: StartedCall, stack: AsyncExitStack, resumption: Resumption | None
) -> tuple[CallLanguages, Engines]:
    """Returns the languages of the call, and its engines with the voices for all of them."""
    settings, engines = call.settings, call.engines
    others = settings_by_language(settings, call.record)
    rule = LanguageRule(
        [settings.agent_language, *others], resumption.language if resumption else ""
    )
    if not others:
        return CallLanguages(rule), engines
    for other in others.values():
        import_engines(other)  # done already for the assistants that the process knows
    voices = Voices(settings.agent_language, engines.tts)
    loads = {language: partial(load_tts, other) for language, other in others.items()}
    if current := loads.pop(rule.current, None):  # the agent before has spoken it
        await add_voices(voices, {rule.current: current})
    languages = CallLanguages(rule, lambda: voices.languages)
    languages.tell(voices)
    loading = asyncio.create_task(add_voices(voices, loads), name="other voices")
    stack.push_async_callback(_cancel, loading)
    return languages, replace(engines, tts=voices)


def _why_ended(
    guard: CallGuard, line: Line, callee: Callee | None, transfers: Transfers | None
) -> str:
    """Returns why a call has ended, where LiveKit's own reason does not say it."""
    if transfers and transfers.is_done:
        return "transferred"
    if callee and callee.ended_for:
        return callee.ended_for
    if line.has_left and not guard.ended_for:
        return "caller left"
    return END_REASONS.get(guard.ended_for, guard.ended_for)


def _make_agent(
    call: StartedCall,
    tools: CallTools,
    caller: PhoneCaller | None,
    languages: CallLanguages,
    resumption: Resumption | None,
    *,
    callee: Callee | None,
) -> Assistant:
    own, greeting = call.record.instructions, call.settings.agent_greeting
    instructions = filled(call, call.resources.instructions if own is None else own)
    if caller and caller.is_inbound:
        instructions = f"{instructions}\n\n{describe(caller)}"
    if call.dispatch.context:
        instructions = f"{instructions}\n\n{call.dispatch.context.for_model()}"
    return Assistant(
        instructions=instructions,
        phrases=call.resources.phrases,
        language=call.settings.agent_language,
        filler_after=call.settings.filler_after,
        greeting=None if greeting is None else filled(call, greeting),
        guard=call.guard,
        history_characters=call.settings.history_max_characters,
        tools=tools.tools,
        tool_phrases=tools.says,
        resumption=resumption,
        languages=languages,
        callee=callee,
    )


def _voicemail_of(
    call: StartedCall,
    messages: Messages,
    keys: CallerKeys,
    caller: PhoneCaller | None,
    resumption: Resumption | None,
) -> Voicemail | None:
    """Makes the agent that takes a message; None: an assistant answers."""
    options = call.inbound.voicemail if call.inbound else None
    if options is None:
        return None
    room, epoch = call.ctx.job.room, call.dispatch.epoch
    suffix = f"-{epoch}" if epoch > 1 else ""
    envelope = Envelope(
        name=f"voicemail-{room.sid}{suffix}",
        room=room.name,
        assistant=call.record.name,
        contact=caller.number if caller else "",
    )
    return Voicemail(
        options,
        envelope,
        messages,
        keys,
        phrases=call.resources.phrases,
        language=call.settings.agent_language,
        earlier=words_of_caller(resumption.context) if resumption else "",
    )


def _watch_replies(call: StartedCall, stack: AsyncExitStack, session: AgentSession[None]) -> None:
    """Counts the replies of the session, and sends the room their routes if it may know them."""
    if call.resources.turns:
        call.resources.turns.follow(session)
    if call.settings.names_are_public:
        stack.push_async_callback(RouteNotes(session, call.ctx.room).aclose)


def _typed_messages_of(
    call: StartedCall, stack: AsyncExitStack, session: AgentSession[None]
) -> TypedMessages:
    """Makes the reader of typed messages, which ends with the stack."""
    longest = call.settings.message_max_characters
    typed = TypedMessages(session, call.ctx.room, call.guard, TextAnswers().answer, longest)
    stack.push_async_callback(typed.aclose)
    return typed


def _keys_of(call: StartedCall, session: AgentSession[None]) -> CallerKeys | None:
    """Receives the keys of a caller by telephone; None: the caller has no telephone."""
    if not is_phone_room(call.ctx.room.name):
        return None
    words = call.inbound.keys if call.inbound else None
    keys = CallerKeys(session, call.guard, words=words)
    keys.follow(call.ctx.room)
    return keys


def _tools_of(
    call: StartedCall,
    keys: CallerKeys | None,
    messages: Messages,
    transfers: Transfers | None,
    hang_up: Callable[[str], object],
) -> CallTools:
    """Makes the tools of a call: those of its assistant, or the usual ones."""
    record, settings = call.record, call.settings
    context = ToolContext(
        phrases=call.resources.phrases,
        language=settings.agent_language,
        call_id=call.ctx.job.room.sid,
        room=call.ctx.room.name,
        assistant=record.name,
        effects=call.effects,
        messages=messages,
        documents=call.resources.documents,
        keys=keys,
        transfers=transfers,
        hang_up=hang_up,
    )
    return CallTools(
        context,
        USUAL if record.tools is None else record.tools,
        record.http_tools,
        record.mcp_servers,
        AddressGuard(allowed=settings.allowed_addresses),
    )


async def _take_over(calls: CallStore, call: StartedCall) -> Resumption | None:
    """Returns where the conversation has stopped; None: it begins now. Raises StaleError."""
    said = [(one.role, one.text) for one in call.trial.said] if call.trial else []
    if call.dispatch.epoch == 1:
        return after(said, Resumption(context=ChatContext.empty())) if said else None
    phrases, first = call.resources.phrases, call.settings.agent_language
    greeting = call.settings.agent_greeting
    taken = await take_over(
        calls,
        call.ctx.room.name,
        call.dispatch,
        SystemClock(),
        greeting=phrases.pick("greeting", first, 0) if greeting is None else filled(call, greeting),
        phrase=lambda occasion, language: phrases.pick(occasion, language or first, 0),
    )
    return after(said, taken)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
