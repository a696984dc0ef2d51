"""Makes the dialer of planned calls from the settings and the telephone's file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from agent.livekit_server import LiveKitServer
from agent.phone.dialing import DialDeps, Dialer, DialRules, WayOut
from agent.phone.do_not_call import DoNotCall
from agent.phone.faults import SetupFaultError
from agent.phone.schedule import Schedule
from agent.phone.setup_file import PhoneFile
from agent.survival.rescuer import Rescuer
from config.settings import Settings
from llm_router.clock import Clock
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import Services
from llm_router.management.assistant_names import unknown_assistants
from llm_router.net.guard import AddressGuard
from llm_router.settings.loading import environment
from llm_router.store.leases import Lease

_LEASE_LASTS = 15.0
"""Seconds after which another HTTP process dials, if this one has died."""


def make_schedule(
    settings: Settings, services: Services, livekit: LiveKitServer, rescuer: Rescuer, clock: Clock
) -> Schedule:
    """Makes the schedule of planned calls; while no trunk for calls out is set up, they wait."""
    planned, calls, database = services.planned_calls, services.calls, services.database
    deps = DialDeps(
        livekit=livekit,
        agent_name=settings.agent_name,
        agents=rescuer,
        calls=calls,
        planned=planned,
        clock=clock,
        fault_of_assistant=partial(_fault_of_assistant, services),
    )
    guard = AddressGuard(allowed=settings.allowed_addresses)
    rules = RulesFile(settings.phone_file, environment(), guard)
    lease = Lease(database, "planned calls", clock, _LEASE_LASTS)
    return Schedule(planned, calls, Dialer(deps, rules.read), lease, clock)


async def _fault_of_assistant(services: Services, name: str) -> str:
    try:
        unknown = await unknown_assistants([name], services.assistants, services.assistants_in_file)
    except ConfigurationError as error:
        return str(error)
    if not unknown:
        return ""
    return f"there is no assistant {name!r} any more: store it again, or cancel the call"


class RulesFile:
    """The part of the telephone's file on calls out, which is read again once it has changed."""

    def __init__(self, file: Path, environ: Mapping[str, str], guard: AddressGuard) -> None:
        self._file = PhoneFile(file, environ)
        self._guard = guard
        self._rules: DialRules | None = None

    def read(self) -> DialRules:
        """Returns the rules as they are now.

        Raises SetupFaultError: by a file that is spoilt no number is dialed, not even by the rules
        before, for it may be a prohibition that was misspelt.
        """
        try:
            setup = self._file.read_now()
        except ConfigurationError as error:
            raise SetupFaultError("failed", str(error)) from None
        out = setup.outbound
        if out is None:
            raise SetupFaultError(
                "failed", "calls out are not set up: add [outbound] to the file of PHONE_FILE"
            )
        ways = [WayOut(trunk.name, setup.caller_ids(trunk)[0]) for trunk in setup.trunks_out]
        if self._rules is None or (self._rules.outbound, self._rules.ways) != (out, ways):
            file = Path(out.do_not_call) if out.do_not_call else None
            do_not_call = DoNotCall(file, out.do_not_call_url or "", self._guard)
            self._rules = DialRules(outbound=out, ways=ways, do_not_call=do_not_call)
        return self._rules
