"""Measures how soon a person who is called, and says hello, receives the agent's first word."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.report.command import Progress
from tests.phone.outgoing import called_phone, done, file_with_calls_out, place, spoken
from tests.phone.stack import running_phone_stack

_HELLOS = ("Hello?", "Yes, hello.", "Good morning.")


async def measure_hellos(times: int, progress: Progress) -> Sequence[float]:
    """Calls a telephone so many times; returns the seconds from the end of each hello to the first
    word, infinity for none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = file_with_calls_out(folder)
        async with running_phone_stack(folder, PHONE_FILE=str(file)) as stack:
            found = []
            for number in range(times):
                progress(f"call out {number + 1} of {times}")
                hello = spoken(_HELLOS[number % len(_HELLOS)], folder)
                async with called_phone(stack) as phone:
                    planned = await place(stack, phone, assistant="")
                    await phone.accept()
                    said = await phone.play(hello)
                    try:
                        await phone.wait_until_silent(since=said, within=15)
                        first = phone.first_sound(said)
                    except AssertionError:
                        first = None
                    found.append(math.inf if first is None else first - said)
                    await phone.hang_up()
                    await done(stack, planned)
            return found
