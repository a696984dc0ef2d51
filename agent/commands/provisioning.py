"""The work of `phone plan` and `phone apply`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.commands.opened_setup import known_assistants, open_setup
from agent.phone.advice import advice_on
from agent.phone.livekit_sip import LiveKitSip
from agent.phone.objects import SipApi, SipError
from agent.phone.provision import Plan, apply_plan, make_plan
from agent.phone.shown import STYLES, describe_plan, describe_step, plan_as_json
from agent.phone.wanted import wanted_objects
from llm_router.cli.arguments import confirm
from llm_router.cli.command import EXIT_NO, CommandError
from llm_router.cli.output import Output


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the notes about its file, and the service that it is for."""

    sip: SipApi
    plan: Plan
    notes: Sequence[str]


async def show_plan(out: Output) -> int | None:
    """Prints the plan; returns the exit code."""
    async with _planned(out) as planned:
        _print(out, planned)
        out.json(plan_as_json(planned.plan, planned.notes))
        return EXIT_NO if planned.plan.conflicts else None


async def apply(out: Output, *, yes: bool) -> int | None:
    """Prints the plan, asks, and carries it out; returns the exit code."""
    async with _planned(out) as planned:
        _print(out, planned)
        count = len(planned.plan.changes)
        if planned.plan.conflicts:
            raise CommandError("; ".join(planned.plan.conflicts))
        if count and not confirm(f"Change {count} objects in LiveKit?", yes=yes):
            return EXIT_NO
        try:
            await apply_plan(
                planned.plan,
                planned.sip,
                lambda step: out.print_note(f"done: {describe_step(step)}", STYLES[step.action]),
            )
        except SipError as error:
            raise CommandError(
                f"{error}. The changes before it are made; `llm-router phone apply` goes on"
            ) from None
        out.json(plan_as_json(planned.plan, planned.notes))
        if count:
            out.print_note("LiveKit has what the file says", "green")
    return None


def _print(out: Output, planned: Planned) -> None:
    for line, style in describe_plan(planned.plan):
        out.print_line(line, style)
    if not planned.plan.changes and not planned.plan.conflicts:
        out.print_note("nothing to change: LiveKit has what the file says", "green")
    for note in planned.notes:
        out.print_note(f"note: {note}", "yellow")


@asynccontextmanager
async def _planned(out: Output) -> AsyncIterator[Planned]:
    """Reads the file and LiveKit's objects, beside a running demo those of the demo."""
    settings, setup, demo = open_setup()
    if demo:
        out.print_note(f"settings: those of the demo at {demo.address}, in {demo.folder}")
    secret = settings.livekit_api_secret.get_secret_value()
    try:
        async with LiveKitSip(settings.livekit_url, settings.livekit_api_key, secret) as sip:
            wanted = wanted_objects(setup, settings.agent_name)
            plan = make_plan(await sip.read(), wanted, settings.agent_name)
            notes = [*advice_on(setup, await known_assistants(settings))]
            yield Planned(sip, plan, notes)
    except SipError as error:
        raise CommandError(str(error)) from None
