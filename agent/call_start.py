"""Finds what a call needs before its session begins: its assistant, its limits, its caller."""

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from livekit.agents import JobContext

from agent import assistants
from agent.budget import kind_limit, lower_limit
from agent.call_log import CallLog, LoggedCall
from agent.call_options import import_engines, load_other_engines, needs_other_engines
from agent.call_settings import call_limits, settings_of, store_options, within, worker_name
from agent.dispatch import Dispatch, SiteTerms
from agent.guard import CallGuard
from agent.phone.caller import PhoneCaller, hash_number, read_caller
from agent.phone.inbound import Inbound, inbound_of
from agent.phone.line import wait_for_phone
from agent.prewarm import JobResources
from agent.session import Engines
from agent.toolbox.effects import Effects
from agent.trial_call import TrialCall, open_trial, trial_of
from config.settings import Settings
from llm_router.errors import ConfigurationError, SealError
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import CallAgent, CallFacts
from llm_router.voice.phone.rooms import called_number, is_phone_room
from llm_router.voice.phone.setup import PhoneSetup
from llm_router.voice.site import account_of

_logger = logging.getLogger("agent")
_SORRY_FOR = 2.0
"""Seconds of silence that end a call of which it is not known what was to be tried."""
_PHONE_WITHIN = 2.0
"""Seconds for which a call by telephone waits for its caller, who is there as a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedCall:
    """One call: the facts about it, and the parts of which all others are made."""

    ctx: JobContext
    resources: JobResources
    dispatch: Dispatch
    record: AssistantRecord
    settings: Settings
    engines: Engines
    database: Database
    logged: LoggedCall
    effects: Effects
    guard: CallGuard
    phone: PhoneSetup
    """The telephone's file as it was when the call began."""
    inbound: Inbound | None
    """The line and the number that were called; None: the call came in on no line of the file."""
    trial: TrialCall | None
    """The draft or the model that is tried out; None: it is a call of a caller."""

    @property
    def account(self) -> str:
        """The API key or the site for which its use is counted; empty: neither."""
        if self.trial:
            return self.trial.account
        return account_of(self.terms.site) if self.terms else ""

    @property
    def terms(self) -> SiteTerms | None:
        """Limits of the caller's site; None: they call from no site."""
        return self.dispatch.terms


async def begin(ctx: JobContext, resources: JobResources, database: Database) -> StartedCall:
    """Finds the assistant of a call, and makes what needs nothing else."""
    dispatch = Dispatch.from_metadata(ctx.job.metadata)
    # The same for each agent of the call, however late it comes.
    began = datetime.fromtimestamp(ctx.job.room.creation_time, UTC)
    phone = await asyncio.to_thread(resources.phone.read)
    inbound = inbound_of(phone, ctx.room.name, began)
    name = inbound.assistant(dispatch) if inbound else dispatch.assistant
    trial = await _trial_of(dispatch, ctx.room.name, resources)
    record, settings, engines = await _assistant_of(
        name, dispatch.terms, resources, database, trial
    )
    resources = replace(resources, phrases=resources.phrases.with_fillers(record.fillers))
    limits = call_limits(settings, record, dispatch.terms)
    if inbound:
        limits = inbound.limits(limits)
    if dispatch.outgoing and (cut_after := dispatch.outgoing.max_seconds):
        seconds = lower_limit(limits.seconds, kind_limit(cut_after))
        limits = replace(limits, seconds=seconds)
    return StartedCall(
        ctx=ctx,
        resources=resources,
        dispatch=dispatch,
        record=record,
        settings=settings,
        engines=engines,
        database=database,
        logged=logged_call(ctx, dispatch, record, settings),
        effects=Effects(ctx.job.room.sid),  # a room that is opened again is another call
        guard=CallGuard(limits, resources.phrases, settings.agent_language),
        phone=phone,
        inbound=inbound,
        trial=trial,
    )


async def meet(call: StartedCall, log: CallLog) -> PhoneCaller | None:
    """Joins the room of a call by telephone, and returns its caller if they are there.

    The log learns the hash of their number.
    """
    ctx, inbound = call.ctx, call.inbound
    if not is_phone_room(ctx.room.name):
        return None
    await ctx.connect()
    phone = await wait_for_phone(ctx.room, _PHONE_WITHIN if inbound else 0.0)
    if phone is None:
        return None
    headers = inbound.trunk.headers if inbound else ()
    caller = read_caller(phone.attributes, headers, called_number(ctx.room.name))
    secret = call.settings.livekit_api_secret.get_secret_value()
    hashed = call.dispatch.caller or hash_number(caller.number, secret)
    log.learn(kind="phone", caller=hashed)
    return caller


async def _assistant_of(
    name: str,
    terms: SiteTerms | None,
    resources: JobResources,
    database: Database,
    trial: TrialCall | None,
) -> tuple[AssistantRecord, Settings, Engines]:
    """Returns the assistant of a call as it is now, with the settings and engines for it."""
    usual = resources.settings
    options = store_options(usual)
    if trial:
        found = trial.record
    else:
        known = await assistants.refresh(resources.assistants, database, options, name)
        found = known.find(name)
    record = within(found, terms, usual)
    settings = settings_of(usual, record)
    engines = resources.engines
    if needs_other_engines(settings, usual):
        import_engines(settings)  # done already for the assistants that the process knows
        engines = await asyncio.to_thread(load_other_engines, settings, usual, engines)
    return record, settings, engines


async def _trial_of(dispatch: Dispatch, room: str, resources: JobResources) -> TrialCall | None:
    """Returns the draft to try in this call; None: this is no trial.

    If the draft cannot be read, returns one that only apologises: it asks no model and runs no
    tool, since the published assistant is not the one to be tried.
    """
    if not dispatch.trial:
        return None
    settings = resources.settings
    keys, key_file = settings.master_keys, settings.encryption_key_file
    try:
        vault = await asyncio.to_thread(load_vault, keys, key_file, may_create=False)
        return open_trial(dispatch.trial, room, vault)
    except (ConfigurationError, SealError) as error:
        _logger.error(  # noqa: TRY400  the message says it all
            "the unpublished assistant to try in room %s cannot be read, so the caller gets an"
            " apology: %s",
            room,
            error,
        )
    sorry = resources.phrases.pick("unanswered", settings.agent_language, 0)
    record = AssistantRecord(
        name="trial",
        greeting=sorry,
        instructions="",
        tools=(),
        keep="facts",
        idle_after=_SORRY_FOR,
        idle_questions=0,
    )
    return trial_of(record, connections=())


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
