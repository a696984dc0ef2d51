"""`llm-router doctor`: what is wrong here, and what to do about it."""

import typer

from config.settings import ClientSettings, load_section
from llm_router.cli.command import NO, ApiKeyFile, ApiUrl, on_this_machine
from llm_router.cli.output import Output


def register(app: typer.Typer) -> None:
    on_this_machine(app, "doctor")(doctor)


async def doctor(
    out: Output, *, api_url: ApiUrl = None, api_key_file: ApiKeyFile = None
) -> int | None:
    """Look at the database, the master key, LiveKit, the audio engines, and ask each connection.

    Each active connection is asked one short question, which a cloud may charge for. Nothing is
    changed but what is known of their status. With --api-url the HTTP process is looked at instead.
    Ends with 1 if there is a fault.
    """
    from llm_router.cli import diagnostics  # noqa: PLC0415  a second, not for --help

    findings = []
    is_elsewhere = bool(api_url or load_section(ClientSettings).patchbay_api_url)
    seen = diagnostics.over_http(api_url, api_key_file) if is_elsewhere else diagnostics.here()
    async for finding in seen:
        findings.append(finding)
        style = {"ok": "green", "note": "yellow", "fault": "red"}[finding.state]
        out.line(f"{finding.state:<6}{finding.what}: {finding.said}", style)
    faults = sum(finding.state == "fault" for finding in findings)
    out.json([{"what": f.what, "state": f.state, "said": f.said} for f in findings])
    said = f"{faults} {'fault' if faults == 1 else 'faults'}" if faults else "no fault"
    out.say(said, "red" if faults else "green")
    return NO if faults else None
