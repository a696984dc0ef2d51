"""The work of `phone doctor`."""

from agent.commands.opened_setup import open_setup
from agent.phone.doctor import Doctor, check_phone
from agent.presence import is_worker_present
from llm_router.cli.doctor import print_findings
from llm_router.cli.output import Output
from llm_router.clock import SystemClock
from llm_router.errors import ConfigurationError, StoreError
from llm_router.store.database import Database


async def examine(out: Output, called: str, calling: str, *, places_call: bool) -> int | None:
    """Prints what is found; returns the exit code."""
    settings, setup, demo = open_setup()
    if demo:
        out.print_note(f"settings: those of the demo at {demo.address}, in {demo.folder}")
    url = settings.database_url.get_secret_value()
    clock = SystemClock()

    async def has_worker() -> bool | None:
        database = Database(url, max_connections=1)
        try:
            if database.is_missing:
                return None
            return await is_worker_present(database, settings.agent_name, clock)
        except (StoreError, ConfigurationError):
            return None
        finally:
            await database.aclose()

    doctor = Doctor(
        setup=setup,
        url=settings.livekit_url,
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret.get_secret_value(),
        agent_name=settings.agent_name,
        has_worker=has_worker,
        clock=clock,
        called=called,
        calling=calling,
        places_call=places_call,
    )
    return await print_findings(out, check_phone(doctor))
