"""Provides what the default speech needs: packages and models, or nothing for VOICE=espeak."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy import console, env_file, models, python_env
from deploy.console import StepError

NEURAL, ESPEAK = "neural", "espeak"


def provide() -> None:
    """Provides whisper and a neural voice, as VOICE has it; see `carry_out`."""
    carry_out(chosen(), (python_env.install_neural, models.provide))


def carry_out(voice: str, steps: Iterable[Callable[[], object]]) -> None:
    """Runs the steps, unless `voice` is espeak.

    Without a voice, a failure is only reported: the embedded engines take their place, so a machine
    without a network goes on with what it has. With `neural` it raises StepError.
    """
    if voice == ESPEAK:
        console.say("Speech: espeak-ng and pocketsphinx alone (VOICE=espeak)")
        return
    try:
        for step in steps:
            step()
    except StepError as failure:
        if voice == NEURAL:
            raise
        console.say(
            f"{failure.report()}\nUntil then espeak-ng speaks and pocketsphinx listens."
            " VOICE=espeak stays with them."
        )


def chosen(environ: Mapping[str, str] = os.environ, file: Path = env_file.ENV_FILE) -> str:
    """Returns VOICE from the environment or .env: neural, espeak or "".

    Raises StepError for another value.
    """
    given = env_file.setting("VOICE", environ, file)
    if given not in {"", NEURAL, ESPEAK}:
        raise StepError(
            f"VOICE={given}: there is no such choice",
            f"set VOICE={NEURAL} or VOICE={ESPEAK}, or remove it",
        )
    return given
