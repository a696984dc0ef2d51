"""Says of a telephone's file what is allowed but rarely meant. Pure."""

from collections.abc import Collection, Iterator

from llm_router.voice.assistant import DEFAULT
from llm_router.voice.phone.setup import VOICEMAIL, PhoneSetup


def advice_on(setup: PhoneSetup, assistants: Collection[str] | None) -> Iterator[str]:
    """Yields a sentence for each doubt. `assistants`: those that there are; None: not known."""
    with_numbers = {setup.trunk_of(each).name for each in setup.numbers}
    for trunk in setup.trunks:
        if trunk.name in with_numbers and trunk.is_open:
            yield (
                f"trunk {trunk.name}: anybody who knows a number may call through it, from any"
                " address; write allowed_addresses, or inbound_username and inbound_password"
            )
        if trunk.name not in with_numbers and not trunk.other_numbers and not trunk.address:
            yield f"trunk {trunk.name}: has no numbers and no address, so no call uses it"
    used = {each.hours for each in setup.numbers} | {each.hours for each in setup.people}
    for name in setup.hours.keys() - used:
        yield f"hours {name}: nobody has them; write hours = {name!r} below a number"
    if assistants is not None:
        for name in sorted(_named(setup) - {*assistants, DEFAULT, VOICEMAIL}):
            yield (
                f"assistant {name}: there is none, so the default one answers; add it"
                f" (`llm-router assistants add {name}`)"
            )


def _named(setup: PhoneSetup) -> set[str]:
    named = {each.assistant for each in setup.numbers}
    named |= {each.closed for each in setup.numbers if each.hours}
    return named | {trunk.other_numbers for trunk in setup.trunks if trunk.other_numbers}
