"""Reads the settings and the telephone's file, for the commands of `phone`."""

from collections.abc import Collection

from agent import assistants
from agent.call_settings import store_options
from agent.phone.setup_file import load_phone
from config.settings import Settings, load_settings
from llm_router.errors import ConfigurationError
from llm_router.settings.loading import environment
from llm_router.settings.running import RunningDemo, find_demo
from llm_router.voice.phone.setup import PhoneSetup


def open_setup() -> tuple[Settings, PhoneSetup, RunningDemo | None]:
    """Returns the settings, the set-up, and the demo whose settings these are, if one runs.

    Raises SettingsError or ConfigurationError.
    """
    demo = find_demo()
    if demo:
        demo.adopt()
    settings = load_settings()
    return settings, load_phone(settings.phone_file, environment()), demo


async def known_assistants(settings: Settings) -> Collection[str] | None:
    """Returns the names of all assistants; None: they cannot be read, as `doctor` says why."""
    options = store_options(settings)
    try:
        known = await assistants.load_known(options, settings.assistants_file, environment())
    except ConfigurationError:
        return None
    return known.all.keys()
