"""Defines stored chats and their messages as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from llm_router.connections.record import NUMBER_RANGES
from llm_router.gateway.schemas.base import Page, PageQuery, ShortText, StrictModel
from llm_router.options import ChatLimits
from llm_router.store.chat_tree import Chat, ChatMessage, ChatTree, Role, Said
from llm_router.store.chats import Found

_LIMITS = ChatLimits()
_MOST_MESSAGES = _LIMITS.messages
_MOST_PAST = 200
"""Messages with which a chat may begin."""
Content = Annotated[
    str, StringConstraints(strip_whitespace=False, min_length=1, max_length=_LIMITS.message)
]
Prompt = Annotated[str, StringConstraints(strip_whitespace=False, max_length=_LIMITS.message)]
Stop = Annotated[
    str, StringConstraints(strip_whitespace=False, max_length=200, pattern=r"^[^\x00]*$")
]
"""A text at which a reply ends, often a line's end."""
Model = Annotated[str, Field(min_length=1, max_length=300)]


class ChatParameters(StrictModel):
    """Parameters of every reply of a chat; those that are left out are the connection's own."""

    temperature: Annotated[float | None, Field(ge=0, le=2, strict=True)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1, strict=True)] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, le=NUMBER_RANGES["max_tokens"][1], strict=True)
    ] = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63, strict=True)] = None
    stop: list[Stop] = Field(default_factory=list, max_length=16)


class ChatPastMessage(StrictModel):
    role: Role
    content: Content


class ChatCreate(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"system_prompt": "You are a cook.", "model": "auto"}]}
    )
    title: ShortText = Field(default="", description="Empty: made from the first message.")
    system_prompt: Prompt = ""
    model: Model = Field(default="auto", description="As in `POST /v1/chat/completions`.")
    parameters: ChatParameters = ChatParameters()
    history: list[ChatPastMessage] = Field(
        default_factory=list,
        max_length=_MOST_PAST,
        description="Messages to begin with, such as those of a call, each after the one before.",
    )

    @property
    def values(self) -> dict[str, Any]:
        """The fields of the chat itself."""
        return self.model_dump(exclude_none=True, exclude={"history"})

    @property
    def past(self) -> list[Said]:
        return [(message.role, message.content) for message in self.history]


class ChatUpdate(StrictModel):
    """New values; fields that are left out stay as they are."""

    title: ShortText | None = None
    system_prompt: Prompt | None = None
    model: Model | None = None
    parameters: ChatParameters | None = None


class ChatQuery(PageQuery):
    text: str = Field(
        default="", max_length=200, description="Occurs in the title or in a message, in any case."
    )


class ChatMessageCreate(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"content": "How long do eggs boil?"}]}
    )
    content: Content
    after: Annotated[int | None, Field(ge=0, le=_MOST_MESSAGES, strict=True)] = Field(
        default=None,
        description="The number of the message that it follows, 0 for none; by default the last one"
        " of the path that is shown. To edit a message, send it anew after the same `parent`.",
    )
    stream: bool = Field(default=True, description="Server-sent events, or the whole reply.")


class ChatReplyCreate(StrictModel):
    stream: bool = Field(default=True, description="Server-sent events, or the whole reply.")


class ChatRead(BaseModel):
    id: str
    title: str
    system_prompt: str
    model: str
    parameters: ChatParameters
    current: int = Field(description="The last message of the path that is shown; 0: none.")
    messages: int = Field(description="The number of messages, in all branches.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, chat: Chat) -> Self:
        return cls.model_validate(chat, from_attributes=True)


class ChatAttemptRead(BaseModel):
    """One request to one server. Times in seconds."""

    connection: str
    model: str
    role: str = Field(description="Why: `first`, `hedge`, `failover`, `retry`, `resume`, `trial`.")
    outcome: str = Field(description="`won`, `lost`, `cancelled`, or what failed.")
    started: float = Field(description="Since the reply was asked for.")
    first_word: float | None
    duration: float
    delivered: bool = Field(description="Whether the reply has words of it.")
    tokens_in: int
    tokens_out: int
    cost: float | None = Field(description="null: no price is known.")


class ChatUnaskedRead(BaseModel):
    connection: str
    reason: str


class ChatRouteRead(BaseModel):
    """The way a reply took."""

    reply_id: str = Field(description="Its id in the usage log.")
    connection: str = Field(description="The connection that gave it; empty: none did.")
    model: str
    first_word: float | None = Field(description="Seconds until the first word.")
    duration: float = Field(description="Seconds until the end.")
    attempts: int = Field(description="Requests sent to servers.")
    tokens_in: int = Field(default=0, description="Of all attempts, as they are charged.")
    tokens_out: int = 0
    cost: float | None = Field(default=None, description="Of all attempts; null: unknown.")
    tries: list[ChatAttemptRead] = Field(
        default_factory=list, description="The attempts, in the order in which they began."
    )
    unasked: list[ChatUnaskedRead] = Field(
        default_factory=list, description="Who was not asked, and why, if every connection failed."
    )


class ChatMessageRead(BaseModel):
    number: int
    parent: int = Field(description="The message that it follows; 0: none.")
    role: Role
    content: str
    status: Literal["whole", "running", "broken_off"]
    problem: str = Field(description="Why a reply was broken off.")
    route: ChatRouteRead | None
    created_at: datetime
    siblings: list[int] = Field(description="All messages that follow the same one.")

    @classmethod
    def of(cls, message: ChatMessage, siblings: Sequence[int] = ()) -> Self:
        values = {
            n: getattr(message, n) for n in cls.model_fields if n not in {"route", "siblings"}
        }
        return cls(
            **values,
            route=ChatRouteRead(**message.route) if message.route else None,
            siblings=list(siblings) or [message.number],
        )


class ChatMessageList(BaseModel):
    items: list[ChatMessageRead]


class ChatDetail(ChatRead):
    path: list[ChatMessageRead] = Field(description="The messages that are shown, in their order.")

    @classmethod
    def of_tree(cls, tree: ChatTree) -> Self:
        return cls(**ChatRead.of(tree.chat).model_dump(), path=read_messages(tree, tree.path))


class ChatExport(ChatRead):
    """A chat with the messages of all branches."""

    tree: list[ChatMessageRead]


class ChatFound(ChatRead):
    found_in: int | None = Field(description="The first message that holds `text`.")
    excerpt: str = Field(description="Words around it.")

    @classmethod
    def of_found(cls, found: Found) -> Self:
        chat = ChatRead.of(found.chat).model_dump()
        return cls(**chat, found_in=found.message, excerpt=found.excerpt)


class ChatPage(Page):
    items: list[ChatFound]


class ChatTurn(BaseModel):
    """A message and the reply to it, which may have been broken off: see its `status`."""

    message: ChatMessageRead
    reply: ChatMessageRead


def read_messages(tree: ChatTree, messages: Sequence[ChatMessage]) -> list[ChatMessageRead]:
    """Returns messages of the tree, each with its siblings."""
    siblings: Mapping[int, Sequence[int]] = tree.siblings()
    return [ChatMessageRead.of(each, siblings[each.parent]) for each in messages]


def chosen(update: StrictModel) -> dict[str, Any]:
    """Returns the fields that a request names and does not set to null."""
    return {n: v for n, v in update.model_dump(exclude_unset=True).items() if v is not None}
