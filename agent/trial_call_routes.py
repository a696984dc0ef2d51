"""Serves calls that try out, by voice, what is not published: a draft, or the model of a chat."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from agent.livekit_server import LiveKitError
from agent.reception import Move, Reception
from agent.supervision import LiveKitKeys
from agent.tokens import mint_token, problem_of
from agent.trial_call import Said, TrialCall, dispatch_for, trial_of
from agent.visits import Visit
from llm_router.clock import Clock
from llm_router.connections import rules
from llm_router.connections.access import Actor
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
from llm_router.store.crypto import Vault
from llm_router.voice.assistant import AssistantRecord

CHAT = "chat"
"""Name of the assistant that answers the spoken part of a chat, by which usage is compared."""
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

    async def begin(self, actor: Actor, trial: TrialCall) -> SeatRead:
        """Calls an agent to a new room, and returns the way in.

        Raises Problem (429, 502, 503), ConfigurationError and StoreError.
        """
        visit = Visit.begin()
        move = Move(
            visit=visit,
            dispatch=await asyncio.to_thread(dispatch_for, trial, visit.room, self.vault),
            is_new=True,
        )
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
        in_file = await asyncio.to_thread(deps.assistants_in_file)
        base = in_file.get(assistant_name) or AssistantRecord(name=assistant_name)
        record = await deps.assistants.drafted(actor, base, body.draft.values())
        return await calls.begin(actor, trial_of(record, account=actor.key_id))

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
        connections = None
        if body.model != AUTO:
            router = await deps.chat_router.get()
            usable = usable_by(actor, router.pool.endpoints, "livekit")
            try:
                chosen = choose(body.model, usable).endpoints
            except ChatProblem as problem:
                raise NotFoundError(f"{problem.detail} Those serve calls.") from None
            connections = tuple(endpoint.connection.id for endpoint in chosen)
        record = AssistantRecord(
            name=CHAT, instructions=body.system_prompt, greeting="", tools=(), keep="facts"
        )
        trial = trial_of(
            record,
            connections=connections,
            options=body.parameters.model_dump(exclude_none=True, exclude_defaults=True),
            said=tuple(Said(role=one.role, text=one.content) for one in body.history),
            account=actor.key_id,
        )
        return await calls.begin(actor, trial)

    return router


async def _require_user(actor: CurrentActor) -> None:
    """Raises ForbiddenError for a role that may not use connections."""
    rules.require(actor, "use")
