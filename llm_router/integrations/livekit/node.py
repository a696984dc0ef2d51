"""Tells the replies that a voice will speak from side questions, by where they are asked.

LiveKit calls `LLM.chat` for the caller's answers, and for summaries, judges, key terms and whatever
else a program asks, all with much the same arguments. What differs is the place: an answer is asked
for inside the LLM node of a session (`Agent.llm_node`, the default or one's own), and LiveKit marks
the task of that node with context variables before it starts. Everything else is asked outside.

LiveKit offers no public name for the mark, so this module reads it where LiveKit keeps it. The
version is pinned, and `tests/contracts/test_livekit_expectations.py` fails if the mark moves.
"""

from dataclasses import dataclass
from typing import Any

from livekit.agents import llm
from livekit.agents.telemetry import gen_ai
from livekit.agents.voice import agent_activity


@dataclass(frozen=True, slots=True)
class Place:
    """The treatment of a reply, by the place where it is asked for.

    `speech`: a voice says the words. `phrases`: a failure is spoken about; otherwise it is raised.
    """

    speech: bool
    phrases: bool


SPOKEN = Place(speech=True, phrases=True)
"""An answer to a caller, who must never hear dead air."""
SIDE_QUESTION = Place(speech=False, phrases=False)
"""A question whose answer is data: a phrase in it would be taken for the answer."""
PART_OF_ANOTHER = Place(speech=True, phrases=False)
"""An answer to a caller through another LLM, such as a FallbackAdapter, which has spares of its
own and must learn of the failure."""


def place_of(model: llm.LLM[Any]) -> Place:
    """Returns the treatment of a reply that is asked for here and now, in this task."""
    if gen_ai._on_inference_span_created.get() is None:  # noqa: SLF001  the mark of the node
        return SIDE_QUESTION
    # A voice that is off for now, as for a question that was typed, has a caller all the same.
    activity = agent_activity._AgentActivityContextVar.get(None)  # noqa: SLF001  its session
    if activity is None or activity.session.output.audio is None:
        return SIDE_QUESTION
    return SPOKEN if activity.llm is model else PART_OF_ANOTHER
