"""Moves conversations in writing to rooms, for the route that lets visitors into those."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.reception import Move
from agent.text.conversations import Conversations
from agent.text.resume_token import Conversation, ResumeTokens, of_visitor
from agent.visitor_gate import Visitor
from agent.visits import Visit
from llm_router.clock import Clock
from llm_router.errors import BusyError


class Moves:
    """Implements `tokens.MovesToRooms`."""

    def __init__(self, conversations: Conversations, secret: str, clock: Clock) -> None:
        self._conversations = conversations
        self._tokens = ResumeTokens(secret)
        self._clock = clock

    @asynccontextmanager
    async def moving(
        self, token: str | None, earlier: Visit | None, visitor: Visitor
    ) -> AsyncIterator[Move | None]:
        talk = await self._conversation(token, earlier, visitor)
        if talk is None:
            yield None
            return
        move = await self._conversations.to_voice(talk, visitor)
        try:
            yield move
        except BaseException as error:
            await self._conversations.back(move)
            if isinstance(error, BusyError):  # it is in its room, and there is none
                await self._conversations.free(talk)
            raise

    async def _conversation(
        self, token: str | None, earlier: Visit | None, visitor: Visitor
    ) -> Conversation | None:
        if token is not None:
            return of_visitor(self._tokens.read(token, self._clock.wall()), visitor)
        if earlier is None:
            return None
        site = visitor.site.record.name if visitor.site else ""
        return await self._conversations.resting(earlier, site)
