"""The table of attacks, and the run through it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx2

from llm_router.cli.attacks import attempts
from llm_router.cli.attacks.target import Outcome, Target


@dataclass(frozen=True, slots=True)
class Row:
    """A class of vulnerabilities, what it has broken, and the attempt at it."""

    title: str
    precedent: str
    attempt: Callable[[Target], Awaitable[Outcome]]


ROWS = (
    Row(
        "rights by the host or the form of a path", "Starlette CVE-2026-48710", attempts.forged_host
    ),
    Row("a program started by the API", "LiteLLM CVE-2026-42271", attempts.programs),
    Row("open before there is a key", "Bifrost CVE-2026-86242", attempts.open_without_key),
    Row("templates from users", "LiteLLM CVE-2026-42203", attempts.templates),
    Row("requests sent elsewhere", "LiteLLM CVE-2026-136536", attempts.elsewhere),
    Row("addresses of the network", "Bifrost CVE-2026-55245", attempts.metadata_service),
    Row("configuration for any key", "LiteLLM CVE-2026-35029", attempts.config_for_any_key),
    Row("one key for two purposes", "LiteLLM CVE-2026-114612", attempts.one_key_two_purposes),
    Row("a second header", "Open WebUI CVE-2026-45339", attempts.second_header),
    Row("monitoring without a key", "Langflow CVE-2026-21445", attempts.monitoring_without_key),
    Row("pages of development", "Pipecat CVE-2026-102682", attempts.left_open),
    Row("data that runs when it is read", "Pipecat CVE-2025-62373", attempts.code_in_data),
    Row("a package that was taken over", "LiteLLM 1.82.7", attempts.code_in_packages),
    Row("requests that exhaust the server", "vLLM CVE-2026-22773", attempts.huge_requests),
    # The last, as it uses up the requests that an address may make without a key.
    Row("SQL in a key", "LiteLLM CVE-2026-42208", attempts.sql_in_key),
)


async def attack(target: Target) -> AsyncIterator[tuple[Row, Outcome]]:
    """Tries each row in turn. Raises ApiError where nothing answers at the target."""
    await target.require()
    for row in ROWS:
        yield row, await _tried(row, target)


async def _tried(row: Row, target: Target) -> Outcome:
    try:
        return await row.attempt(target)
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        return Outcome("failed", f"the server did not answer ({type(error).__name__})")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Outcome("not applicable", "what answers there is not Patchbay, or another version")
