"""Reads what LiveKit knows of the agents that were called to a room. Pure."""

from collections.abc import Collection, Sequence

from livekit.protocol.agent import JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo

from agent.dispatch import Dispatch

ATTRIBUTE_AGENT_NAME = "lk.agent.name"
"""Attribute in which LiveKit names the agent; the HTTP process does not load its framework."""
_ON_ITS_WAY = 15.0
"""Seconds within which an agent that was called must have joined its room."""
_ENDED = frozenset({JobStatus.JS_SUCCESS, JobStatus.JS_FAILED, JobStatus.JS_CANCELLED})


def is_serving(
    dispatch: AgentDispatch, agent_name: str, present: Collection[str], now: float
) -> bool:
    """Returns whether this dispatch has the agent in the room, or on its way there.

    `present` are the identities in the room, `now` is in seconds since 1970. LiveKit takes a job
    for a running one for ever, if its process died: what counts is whether the agent is there.
    """
    if dispatch.agent_name != agent_name or dispatch.state.deleted_at:
        return False
    jobs = dispatch.state.jobs
    if not jobs:
        return _is_recent(dispatch.state.created_at, now)
    return any(
        job.state.status not in _ENDED
        and (
            job.state.participant_identity in present
            or _is_recent(job.state.started_at or dispatch.state.created_at, now)
        )
        for job in jobs
    )


def is_agent(person: ParticipantInfo, agent_name: str) -> bool:
    """Returns whether a participant is an agent of that name."""
    return person.attributes.get(ATTRIBUTE_AGENT_NAME) == agent_name


def is_taken(dispatch: AgentDispatch) -> bool:
    """Returns whether a worker has a job of this dispatch. One that none takes gets no job."""
    return any(job.state.status not in _ENDED for job in dispatch.state.jobs)


def last_of(dispatches: Sequence[AgentDispatch]) -> Dispatch | None:
    """Returns the description of the last agent that was called; None: there was none."""
    described = [Dispatch.from_metadata(each.metadata) for each in dispatches]
    return max(described, key=lambda one: one.epoch, default=None)


def _is_recent(nanoseconds: int, now: float) -> bool:
    return now - nanoseconds / 1e9 < _ON_ITS_WAY
