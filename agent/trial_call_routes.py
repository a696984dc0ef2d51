"""Serves calls that try out, by voice, what is not published: a draft, or the model of a chat."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from agent.livekit_server import LiveKitError
from agent.reception import Move, Reception
from agent.supervision import LiveKitKeys
from agent.text.trial_routes import assistant_in_file
from agent.tokens import mint_token, problem_of
from agent.trial_call import Said, TrialCall, dispatch_for, trial_of
from agent.visits import Visit
from llm_router.clock import Clock
from llm_router.connections import rules
from llm_router.connections.access import WORKER, Actor
from llm_router.errors import NotFoundError
from llm_router.gateway.completions.models import AUTO, choose, usable_by
from llm_router.gateway.completions.problems import ChatProblem
from llm_router.gateway.deps import CurrentActor, Deps
from llm_router.gateway.openapi import problems
from llm_router.gateway.routes.assistants import AssistantName
from llm_router.gateway.schemas.assistants import AssistantUpdate
from llm_router.gateway.schemas.base import StrictModel
from llm_router.gateway.schemas.calls import SeatRead
from llm_router.gateway.schemas.chats import ChatParameters, Model, Prompt
from llm_router.routing.endpoint import Endpoint
from llm_router.store.crypto import Vault
from llm_router.voice.assistant import parse_assistant

CHAT = "chat"
"""Name of the assistant that answers the spoken part of a chat, by which usage is compared."""
_LONG_DRAFT = (
    "the assistant is too long to be tried by voice before it is published: shorten its"
    " instructions, or publish it and call it"
)
_LONG_CHAT = (
    "the chat is too long to go on by voice: shorten the system prompt, or choose one connection"
)
_MOST_SAID = 200
_JOIN_WITHIN = 60


class DraftCallCreate(StrictModel):
    draft: AssistantUpdate = Field(description="Changes that are not published yet.")


class SpokenMessage(StrictModel):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=100_000)]


class ChatCallCreate(StrictModel):
    model: Model = Field(default=AUTO, description="As of a chat; it must serve calls.")
    system_prompt: Prompt = ""
    parameters: ChatParameters = ChatParameters()
    history: list[SpokenMessage] = Field(
        default_factory=list,
        max_length=_MOST_SAID,
        description="The chat so far. Of a long one the agent knows the latest part.",
    )


@dataclass(frozen=True, kw_only=True)
class TrialCalls:
    """Opens rooms of calls that try something out, with the limits of any other call."""

    reception: Reception
    keys: LiveKitKeys
    vault: Vault
    clock: Clock

    async def begin(self, actor: Actor, trial: TrialCall, *, too_long: str) -> SeatRead:
        """Calls an agent to a new room, and returns the way in.

        Raises Problem (429, 502, 503), StoreError, and ConfigurationError, which says `too_long`
        if the trial is.
        """
        visit = Visit.begin()
        dispatch = await asyncio.to_thread(
            dispatch_for, trial, visit.room, self.vault, too_long=too_long
        )
        move = Move(visit=visit, dispatch=dispatch, is_new=True)
        try:
            await self.reception.receive(None, None, f"key {actor.key_id}", move=move)
        except LiveKitError as error:
            raise problem_of(error) from None
        token = mint_token(
            api_key=self.keys.api_key,
            api_secret=self.keys.api_secret,
            identity=visit.identity,
            name=actor.name,
            room=visit.room,
            ttl=_JOIN_WITHIN,
            now=self.clock.wall(),
        )
        return SeatRead(
            server_url=self.keys.server_url,
            participant_token=token,
            identity=visit.identity,
            room=visit.room,
        )


def trial_call_router(calls: TrialCalls) -> APIRouter:
    """Makes the routes. They raise Problem (403, 404, 422, 429, 502, 503)."""
    router = APIRouter(prefix="/api")

    @router.post(
        "/assistants/{assistant_name}/call",
        status_code=201,
        tags=["assistants"],
        operation_id="callAssistantDraft",
        responses=problems(403, 422, 429, 502, 503),
    )
    async def call_draft(
        actor: CurrentActor, deps: Deps, assistant_name: AssistantName, body: DraftCallCreate
    ) -> SeatRead:
        """Begins a call that the assistant answers as it would with these changes.

        Nothing is published. It is a call like any other: its tools run, it takes a place, and it
        is stored as the assistant says.
        """
        base = await assistant_in_file(deps, assistant_name)
        record = await deps.assistants.drafted(actor, base, body.draft.values())
        trial = trial_of(record, account=actor.key_id)
        return await calls.begin(actor, trial, too_long=_LONG_DRAFT)

    @router.post(
        "/chats/call",
        status_code=201,
        tags=["chats"],
        operation_id="callChatModel",
        responses=problems(403, 404, 422, 429, 502, 503),
        dependencies=[Depends(_require_user)],
    )
    async def call_chat(actor: CurrentActor, deps: Deps, body: ChatCallCreate) -> SeatRead:
        """Begins a call in which the model of a chat answers by voice, and knows the chat so far.

        Of the call its facts are stored and no words; who asks adds these to the chat. Only
        connections that serve calls (`use_in_livekit`) answer.
        """
        router = await deps.chat_router.get()
        connections = connections_for(actor, body.model, router.pool.endpoints)
        own = {"instructions": body.system_prompt, "greeting": "", "tools": (), "keep": "facts"}
        record = parse_assistant({"name": CHAT, **own})
        trial = trial_of(
            record,
            connections=connections,
            options=body.parameters.model_dump(exclude_none=True, exclude_defaults=True),
            said=tuple(Said(role=one.role, text=one.content) for one in body.history),
            account=actor.key_id,
        )
        return await calls.begin(actor, trial, too_long=_LONG_CHAT)

    return router


def connections_for(
    actor: Actor, model: str, endpoints: Sequence[Endpoint]
) -> tuple[str, ...] | None:
    """Returns the ids of the connections for calls that a model stands for, of those of the actor.

    None: all that serve calls, for AUTO, also those that are added later. Raises NotFoundError.
    """
    try:
        chosen = choose(model, usable_by(actor, endpoints, "livekit")).endpoints
    except ChatProblem as problem:
        why = problem.detail.rstrip(".")
        raise NotFoundError(
            f"{why}. In a call only connections with use_in_livekit that are approved for calls can"
            " answer: name one of them."
        ) from None
    ids = tuple(endpoint.connection.id for endpoint in chosen)
    every = {endpoint.connection.id for endpoint in usable_by(WORKER, endpoints, "livekit")}
    is_unlimited = model == AUTO and actor.pools is None and every <= {*ids}
    return None if is_unlimited else ids


async def _require_user(actor: CurrentActor) -> None:
    """Raises ForbiddenError for a role that may not use connections."""
    rules.require(actor, "use")
