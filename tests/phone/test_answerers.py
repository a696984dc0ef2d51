"""Fax machines, services that screen calls, music and machines of other tongues that answer."""

import secrets
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_router.testing.server import Script
from tests.phone.outgoing import (
    MESSAGE,
    VARIABLES,
    beep,
    called_phone,
    done,
    place,
    spoken,
    tone,
)
from tests.phone.softphone import Softphone
from tests.phone.stack import PhoneStack
from tests.sounds.samples import RATE, Samples, read_sound, silence
from tests.voice.recogniser import count_mistakes, spoken_words

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("office")]


def spoken_in_german(text: str, folder: Path) -> Samples:
    file = folder / f"{secrets.token_hex(4)}.wav"
    subprocess.run(["espeak-ng", "-v", "de", "-s", "150", "-w", str(file), text], check=True)
    return read_sound(file)


def music(seconds: float) -> Samples:
    parts = []
    for pitch in [262, 330, 392, 523, 392, 330] * round(seconds / 2.4):
        at = np.arange(round(0.4 * RATE)) / RATE
        chord = sum(np.sin(2 * np.pi * pitch * part * at) / part for part in (1, 1.5, 2, 3))
        parts.append(np.asarray(3_000 * chord * np.exp(-2 * at), np.int16))
    return np.concatenate(parts)


async def hears(stack: PhoneStack, phone: Softphone, sound: Samples, **fields: Any) -> Any:
    """Calls a telephone that plays a sound as it picks up; returns the plan and the sound's end."""
    planned = await place(stack, phone, variables=VARIABLES, **fields)
    await phone.accept()
    return planned, await phone.play(sound)


async def test_a_fax_is_hung_up_on_and_gets_no_message(stack: PhoneStack) -> None:
    fax = np.concatenate([silence(0.5), tone(0.5, 1_100), silence(3.0), tone(0.5, 1_100)])
    async with called_phone(stack) as phone:
        planned, _ = await hears(
            stack, phone, np.concatenate([fax, silence(2.0)]), voicemail=MESSAGE
        )
        await phone.wait_for("CALL_CLOSED", within=20)
        assert phone.first_sound() is None
        ended = await done(stack, planned)
    assert (ended["outcome"], ended["reason"]) == ("machine", "fax")


async def test_a_service_that_wants_a_key_gets_it_and_the_person_is_greeted(
    stack: PhoneStack, tmp_path: Path
) -> None:
    async with called_phone(stack) as phone:
        asks = spoken("To accept this call, press one.", tmp_path)
        planned, asked = await hears(stack, phone, np.concatenate([silence(0.5), asks]))
        await phone.wait_until(lambda one: one.digits, within=25)
        assert phone.digits == "1"
        said = await phone.play(spoken("Hello?", tmp_path))
        await phone.wait_until_silent(since=said)
        assert phone.first_sound(asked) >= said - 0.1  # type: ignore[operator]
        await phone.hang_up()
        assert (await done(stack, planned))["outcome"] == "person"


async def test_a_message_is_left_on_a_machine_that_speaks_another_language(
    stack: PhoneStack, tmp_path: Path
) -> None:
    greeting = spoken_in_german(
        "Guten Tag, hier ist der Anschluss von Familie Müller. Wir sind gerade nicht zu Hause."
        " Bitte sprechen Sie uns nach dem Signal etwas auf das Band, wir rufen Sie gern zurück.",
        tmp_path,
    )
    machine = np.concatenate([silence(0.3), greeting, silence(0.5), beep(), silence(0.1)])
    async with called_phone(stack) as phone:
        planned, beeped = await hears(stack, phone, machine, voicemail=MESSAGE)
        await phone.wait_for("CALL_CLOSED", within=40)
        spoken_back = phone.words(MESSAGE, since=beeped)
        assert count_mistakes(spoken_back, spoken_words(MESSAGE)) <= 2
        assert (await done(stack, planned))["outcome"] == "voicemail"


@pytest.mark.parametrize("party", ["music", "a long sentence"])
async def test_music_and_persons_who_say_much_are_spoken_to(
    stack: PhoneStack, tmp_path: Path, party: str
) -> None:
    sounds = {
        "music": lambda: music(8.0),
        "a long sentence": lambda: spoken(
            "Good morning, Miller and Sons, Anna Miller speaking, how may I help you?", tmp_path
        ),
    }
    await stack.voice.behave(Script(words=["PERSON"]))
    async with called_phone(stack) as phone:
        planned, _ = await hears(stack, phone, sounds[party]())
        await phone.wait_until(lambda one: one.first_sound())  # music has no end to wait for
        await phone.hang_up()
        assert (await done(stack, planned))["outcome"] in {"answered", "person"}
