"""Decides what becomes of a call that comes in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from agent.budget import CallLimits, kind_limit, lower_limit
from agent.dispatch import Dispatch
from agent.phone.dictation import DictationRules
from agent.phone.recording import RecordingOptions
from agent.phone.voicemail import VoicemailOptions
from llm_router.voice.phone.hours import Answer, answer_of
from llm_router.voice.phone.rooms import called_number
from llm_router.voice.phone.setup import PhoneSetup, Trunk
from llm_router.voice.phone.setup import Voicemail as VoicemailSetup


@dataclass(frozen=True, slots=True)
class Inbound:
    """A call that comes in on a line of the telephone's file, as decided when it began."""

    trunk: Trunk
    answer: Answer | None
    """The decision on the number; None: the file has none, and the line takes all others."""
    voicemail_setup: VoicemailSetup

    def assistant(self, dispatch: Dispatch) -> str:
        """Returns the assistant that answers; a later agent of the call is that of the first."""
        is_later = dispatch.epoch > 1 and dispatch.assistant
        return dispatch.assistant if is_later or not self.answer else self.answer.assistant

    @property
    def keys(self) -> Mapping[str, str]:
        """The words for which a key stands."""
        return self.answer.number.keys if self.answer else {}

    @property
    def _is_voicemail(self) -> bool:
        return self.answer is not None and self.answer.is_voicemail

    def limits(self, limits: CallLimits) -> CallLimits:
        """Returns the limits of the call, which end it kindly before the line is cut."""
        # The line's own limit counts the ringing, and cuts without a word.
        seconds = lower_limit(limits.seconds, kind_limit(self.trunk.max_minutes * 60))
        # A message has a rule of its own for silence, and nobody asks in its middle.
        silence = 0.0 if self._is_voicemail else limits.silence
        return replace(limits, seconds=seconds, silence=silence)

    @property
    def voicemail(self) -> VoicemailOptions | None:
        """How a message is taken; None: an assistant answers."""
        if not self._is_voicemail:
            return None
        wanted = self.voicemail_setup
        recordings = None
        if wanted.folder:
            recordings = RecordingOptions(
                folder=Path(wanted.folder),
                megabytes=wanted.folder_megabytes,
                days=wanted.folder_days,
                seconds=wanted.max_seconds,
            )
        rules = DictationRules(longest=wanted.max_seconds)
        return VoicemailOptions(greeting=wanted.greeting, rules=rules, recordings=recordings)


def inbound_of(setup: PhoneSetup, room: str, began: datetime) -> Inbound | None:
    """Returns what becomes of the call in a room, which began then.

    None: it is no call that came in, or the file has no line for its number.
    """
    called = called_number(room)
    answer = answer_of(setup, called, began) if called else None
    if answer:
        return Inbound(setup.trunk_of(answer.number), answer, setup.voicemail)
    others = setup.trunk_of_others if called else None
    return Inbound(others, None, setup.voicemail) if others else None
