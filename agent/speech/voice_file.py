"""Reads the `.onnx.json` beside a Piper voice: its language, sample rate and speakers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.speech.models import find_voice, language_family
from llm_router.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceFile:
    """A Piper voice that is on this machine."""

    path: Path
    """The `.onnx`."""
    language: str
    """Tag of the language that it speaks, without the region: `en`."""
    sample_rate: int
    speakers: int
    speaker_numbers: Mapping[str, int]
    """Number of each speaker that has a name."""
    content: dict[str, Any] = field(repr=False)
    """All that the file says."""

    @classmethod
    def read(cls, path: Path) -> "VoiceFile":
        """Reads the description of a voice. Raises ConfigurationError if there is no valid one."""
        file = Path(f"{path}.json")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            spoken = content.get("language", {}).get("family") or content["espeak"]["voice"]
            numbers = content.get("speaker_id_map", {})
            return cls(
                path=path,
                language=str(spoken).partition("-")[0],
                sample_rate=int(content["audio"]["sample_rate"]),
                speakers=int(content["num_speakers"]),
                speaker_numbers={str(name): int(numbers[name]) for name in numbers},
                content=content,
            )
        except FileNotFoundError:
            raise ConfigurationError(f"the voice {path} needs {file.name} beside it") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{file} does not describe a Piper voice") from error

    def number_of(self, speaker: str) -> int | None:
        """Returns the number of a speaker, given by name or number; None if the voice has but one.

        Empty: the first. Raises ConfigurationError for an unknown speaker.
        """
        several = self.speakers > 1
        if not speaker:
            return int(self.content.get("default_speaker_id", 0)) if several else None
        if several and speaker in self.speaker_numbers:
            return self.speaker_numbers[speaker]
        if several and speaker.isdecimal() and int(speaker) < self.speakers:
            return int(speaker)
        named = ", ".join([*self.speaker_numbers][:20]) or f"0 to {self.speakers - 1}"
        known = f"of {self.speakers}: {named}" if several else "but one"
        raise ConfigurationError(f"the voice {self.path.stem} has no speaker {speaker!r}, {known}")


def choose_voice(voice: str, language: str, folder: Path) -> tuple[VoiceFile, str]:
    """Chooses a Piper voice, and returns it with the name of its speaker, which may be empty.

    `voice` is the name of a voice in the folder of models, or the path of its `.onnx`, with
    `#<speaker>` where it has several; empty: one for the language. Raises ConfigurationError, in
    one sentence, if there is no such voice or it speaks another language.
    """
    name, _, speaker = voice.partition("#")
    if name.endswith(".onnx") and Path(name).expanduser().is_file():
        file = VoiceFile.read(Path(name).expanduser())
    else:
        file = VoiceFile.read(find_voice(name, language, folder))
    file.number_of(speaker)
    if file.language != language_family(language):
        raise ConfigurationError(
            f"the voice {file.path.stem} speaks {file.language!r}, and AGENT_LANGUAGE is"
            f" {language!r}: leave TTS_VOICE empty for one of that language"
        )
    return file, speaker
