"""Defines a call, the items of its conversation, and the port of their store. No I/O.

A call lives in one room. Its agents are numbered by epochs: agent 2 takes the place of agent 1 when
that one's process has died. Exactly one agent claims each epoch; writes of an earlier one about the
state of the call have no effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol

CallState = Literal["agent", "handed_over", "text", "ended"]
"""`agent`: an agent of ours answers, or is to. `handed_over`: a person does, and no agent may come
back by itself. `text`: the visitor may type, and the process that receives a message answers it."""
CallKind = Literal["web", "phone", "text", "test", "other"]
"""`text`: a conversation in writing. It may move to a room and back: the end of its agent is not
its own. `other`: a session of an agent that is not ours, which has reported it."""
Keep = Literal["nothing", "facts", "transcript"]
"""The part of a call that stays after its end. Words are stored during every call, so that another
agent can go on with it."""
EndReason = Literal[
    "caller left",
    "agent ended",
    "silence",
    "too long",
    "limit",
    "transferred",
    "worker stopped",
    "failed",
    "lost",
    "machine",
    "voicemail",
    "busy",
    "declined",
    "no answer",
    "invalid",
    "blocked",
    "capacity",
    "no agent",
    "unknown",
]
"""`limit`: of turns, tokens or cost. `failed`: no agent could answer. `lost`: no sign of life, and
no agent reported an end. From `machine` on, only calls that are placed: a machine has answered,
`voicemail` if a message was left on it; or the number was not reached, for that reason."""
ItemRole = Literal["user", "assistant", "tool"]
HandedTo = Literal["person", "supervisor"]
"""To whom a call was handed: a `person` whom an agent has dialled keeps it to its end; a
`supervisor` may give it back."""

HANDED_TO = "handed_to"
"""Key in a call's metadata of its HandedTo."""
ANSWERED_BY = "answered_by"
"""Key of a call's metadata under which its agent writes who has answered."""
TALKING_SINCE = "talking_since"
"""Key there of the time (s since 1970) at which a conversation in writing has moved to a room."""
TRIAL = "trial"
"""Key there of what is tried out in the call, sealed; it is removed at the call's end."""
PAGE_CONTEXT = "page_context"
"""Key there of what the page has said of itself or its visitor, as `PageContext` in JSON."""

INTERRUPTED_BY = "interrupted_by"
"""Key of a receipt: "caller" if it was they who interrupted the reply."""
LANGUAGE = "language"
"""Key of a receipt: the language of the call by then, where it has several."""
ENDS_OF_SESSIONS: Mapping[str, str] = MappingProxyType(
    {
        "participant_disconnected": "caller left",
        "user_initiated": "agent ended",
        "task_completed": "agent ended",
        "job_shutdown": "worker stopped",
        "error": "failed",
    }
)
"""Reason of the end of a call by that of LiveKit's session."""
MAX_TEXT = 32_000
"""Characters of an item that are stored."""
MAX_ITEMS = 5_000
"""Items of a call that are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAgent:
    """The agent that claims a call: its identity in the room, its worker, its job at LiveKit."""

    identity: str
    worker: str
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The facts about a call that its server or its agent knows; an empty one is not known."""

    assistant: str = ""
    caller: str = ""
    """Hash of the caller's address or number."""
    kind: CallKind | None = None
    keep: Keep | None = None
    keep_days: int | None = None
    """Days after the end for which the call is stored; None: as long as the setting says."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A stored call without its items.

    `agent`, `worker` and `job` are empty while no agent has claimed this epoch; `worker` alone is
    empty when the agent has noted that it is gone. `last_beat` is the
    last sign of life: of an agent, or the time at which one was asked for. `items` is the number of
    the newest item. `voiced` has the words of the reply under way that the caller has received,
    `tools_in_flight` the calls of tools whose outcome is not known yet.
    """

    id: str
    room: str
    epoch: int = 1
    assistant: str = ""
    caller: str = ""
    kind: CallKind = "web"
    state: CallState = "agent"
    agent: str = ""
    worker: str = ""
    job: str = ""
    keep: Keep = "facts"
    keep_days: int | None = None
    last_beat: datetime
    started_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime
    reason: str = ""
    items: int = 0
    voiced: str = ""
    tools_in_flight: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def answered_by(call: Call) -> Any:
    """Returns what is known of who has answered: the value of ANSWERED_BY, or None.

    A machine that a supervisor has talked with is a person: they would have hung up on a machine.
    """
    found = call.metadata.get(ANSWERED_BY)
    return "person" if found == "machine" and HANDED_TO in call.metadata else found


@dataclass(frozen=True, slots=True, kw_only=True)
class CallItem:
    """One item of a call's conversation.

    `id` is unique in its call and makes writing it twice harmless; the store gives the `number`,
    from 1 in the order of arrival. `text` is what was said; of an interrupted reply, what the
    caller received, and `interrupted_at` is the number of its words. `tool_calls` have `call_id`,
    `name`, `arguments`, `output` and `is_error`. `receipt` says how a reply came about: its
    connection, times and attempts; and that the caller has interrupted it.
    """

    id: str
    role: ItemRole
    text: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    interrupted_at: int | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 1
    created_at: datetime
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFilters:
    """Conditions on one attempt behind a call's replies; empty ones are no condition.

    `role` and `outcome` are those of `AttemptEvent`; the outcome `failed` stands for each failure.
    """

    connection_id: str = ""
    pool: str = ""
    role: str = ""
    outcome: str = ""
    avoided_silence: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilters:
    """Conditions on calls; empty ones are no condition. `text` is searched in what was said.

    `attempts`: some attempt of the call in the usage log meets all of these.
    """

    state: CallState | None = None
    assistant: str = ""
    room: str = ""
    caller: str = ""
    kind: CallKind | None = None
    worker: str = ""
    started_from: datetime | None = None
    started_to: datetime | None = None
    beat_before: datetime | None = None
    updated_from: datetime | None = None
    reason: str = ""
    text: str = ""
    attempts: AttemptFilters = field(default_factory=AttemptFilters)


class CallPort(Protocol):
    """The part of the store of calls that agents and their rescuers need. Raises StoreError.

    Every time is passed in, so that one clock decides.
    """

    async def claim(
        self,
        room: str,
        epoch: int,
        agent: CallAgent,
        now: datetime,
        facts: CallFacts | None = None,
        *,
        may_begin: bool = True,
    ) -> Call | None:
        """Makes the agent that of the epoch; returns None if it is another's or has passed.

        An unclaimed epoch, the next one, and the first of a room without a call can be claimed.
        Claiming again with the same job succeeds again, until the call has ended. Without
        `may_begin` no call is begun: an agent that has claimed one has no other.
        """

    async def advance(self, room: str, epoch: int, now: datetime) -> bool:
        """Moves a call from the epoch before to this one, which then awaits its agent.

        Of several callers one gets True.
        """

    async def beat(self, worker: str, epochs: Mapping[str, int], now: datetime) -> set[str]:
        """Notes a sign of life of calls, by id, of a worker; returns those that are still its."""

    async def note(
        self,
        call_id: str,
        epoch: int,
        now: datetime,
        *,
        voiced: str | None = None,
        tools_in_flight: Sequence[Mapping[str, Any]] | None = None,
        answered: bool = False,
        gone: bool = False,
    ) -> bool:
        """Notes how far the reply under way is; returns False if the epoch is not the call's.

        `gone`: the agent ends with this, and another one is to be called at once.
        """

    async def append(self, call_id: str, items: Sequence[CallItem], now: datetime) -> int:
        """Stores those items that are not stored yet; returns the number of the newest one.

        All or none. Raises NotFoundError if the call is not stored any more.
        """

    async def going_on(self, room: str) -> Call | None:
        """Returns the call in the room that has not ended, without its items."""

    async def history(self, room: str) -> tuple[Call, list[CallItem]] | None:
        """Returns the call in the room that goes on, with its items; None if there is none."""

    async def hand_over(
        self, call_id: str, epoch: int, now: datetime, *, to: HandedTo | None = None
    ) -> bool:
        """Notes that a person answers from now on."""

    async def give_back(self, call_id: str, now: datetime) -> Call | None:
        """Notes that an agent is to answer again; returns None if no person did."""

    async def end(
        self, call_id: str, reason: str, now: datetime, *, epoch: int | None = None
    ) -> bool:
        """Ends a call, and removes what is not to stay of it; False if that was done before.

        With an `epoch`: only if it is the call's, and no person answers.
        """


def storable_text(text: str) -> str:
    """Returns the text as every database can store it, no longer than an item may be."""
    encodable = text[:MAX_TEXT].encode("utf-8", "replace").decode()
    return encodable.replace("\0", "\ufffd")
