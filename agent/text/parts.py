"""Puts together what one reply is written with: its request, its tools, its phrases."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from agent.text.history import instructions_of, language_now, messages_of
from agent.text.reply import ReplyDraft, ReplyTask
from agent.text.setup import Answerer, TextSetup
from agent.tool_set import ToolSet
from agent.toolbox.effects import Effects
from agent.toolbox.recall import recall_items
from agent.tools import USUAL, needs_livekit
from agent.tools.base import ToolContext
from llm_router.clock import Clock
from llm_router.errors import RouterError, UnknownPluginError
from llm_router.net.guard import AddressGuard
from llm_router.routing.router import Router
from llm_router.types import ChatRequest
from llm_router.voice.calls import Call, CallItem
from llm_router.voice.messages import MessageBox

_logger = logging.getLogger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call that owes a reply: its items, and the words of the reply that are said.

    `new` are those that were stored with the claim, as they are stored. `account` is that under
    which the cost is counted: of the visitor's site, or of an API key.
    """

    call: Call
    items: Sequence[CallItem]
    answerer: Answerer
    new: Sequence[CallItem] = ()
    begun: str = ""
    account: str = ""

    @property
    def language(self) -> str:
        return language_now(self.items, self.answerer.languages)

    @property
    def instructions(self) -> str:
        answerer = self.answerer
        return instructions_of(answerer.instructions, self.call, self.items, answerer.languages)


class OpenMessages(Protocol):
    """Opens the store of the messages that callers leave."""

    def __call__(self, *, redacts_cards: bool) -> MessageBox: ...


class ReplyParts:
    """Makes the parts of replies. Without `messages`, callers can leave none."""

    def __init__(
        self, setup: TextSetup, clock: Clock, messages: OpenMessages | None = None
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._messages = messages

    def phrase(self, asked: Asked, occasion: str) -> str:
        """Returns the words for an occasion, in the language of the conversation."""
        return self._setup.phrases.pick(occasion, asked.language, asked.call.epoch)

    def task(self, asked: Asked, draft: ReplyDraft, router: Router, tools: ToolSet) -> ReplyTask:
        """Returns the reply to write into `draft`."""
        answerer = asked.answerer
        settings, record = answerer.settings, answerer.record
        messages = messages_of(asked.instructions, asked.items, settings.history_max_characters)
        request = ChatRequest(
            messages=messages,
            language=asked.language,
            session_id=asked.call.room,
            integration="livekit",
            api_key_id=asked.account,
            assistant=record.name,
            pool=record.pool,
            voiced=asked.begun,
        )
        return ReplyTask(
            draft=draft,
            router=router,
            request=request,
            tools=tools,
            servers=record.mcp_servers,
            phrase=partial(self.phrase, asked),
            clock=self._clock,
        )

    def tools(self, asked: Asked, hang_up: Callable[[str], object]) -> ToolSet:
        """Returns the tools of a reply, which the caller closes."""
        answerer = asked.answerer
        record, settings = answerer.record, answerer.settings
        effects = Effects(asked.call.id)
        recall_items(effects, asked.items)
        box = self._messages(redacts_cards=answerer.redacts_cards) if self._messages else None
        context = ToolContext(
            phrases=self._setup.phrases,
            language=asked.language,
            call_id=asked.call.id,
            room=asked.call.room,
            assistant=record.name,
            effects=effects,
            messages=box,
            documents=self._setup.documents,
            hang_up=hang_up,
            clock=self._clock,
        )
        wanted = USUAL if record.tools is None else record.tools
        names = [name for name in wanted if _is_for_text(name)]
        guard = AddressGuard(allowed=settings.allowed_addresses)
        return ToolSet(context, names, record.http_tools, guard)


def _is_for_text(name: str) -> bool:
    """Returns whether conversations in writing have a module's tools; an unknown one is logged."""
    try:
        return not needs_livekit(name)
    except UnknownPluginError as error:
        _logger.error("this conversation goes on without a tool: %s", error)  # noqa: TRY400  it says it all
        return False
    except (OSError, SyntaxError, RouterError) as error:
        _logger.error("tool %s cannot be read (%s)", name, type(error).__name__)  # noqa: TRY400
        return False
