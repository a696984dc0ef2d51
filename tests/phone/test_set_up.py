"""`phone plan` and `phone apply` with a real LiveKit server: once, again, and after a change."""

import asyncio
import json
import os
import sys
from typing import Any

from livekit import api

from tests.phone.lines import opened_api, outbound_line
from tests.phone.stack import LINE, PhoneStack


async def phone(stack: PhoneStack, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Runs a command of `phone` beside the stack; returns its exit code and what it answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llm_router.cli", "phone", *arguments, "--json",
        env={**os.environ, **stack.voice.settings}, cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, json.loads(out)


async def test_a_file_is_applied_once_and_changes_of_others_by_hand_are_shown_and_mended(
    stack: PhoneStack,
) -> None:
    livekit = stack.voice.livekit
    async with outbound_line(livekit, "192.0.2.1", LINE, name="of others") as others:
        code, first = await phone(stack, "apply", "--yes")
        assert code == 0, first
        _, again = await phone(stack, "plan")
        assert again["changes"] == []

        async with opened_api(livekit) as server:
            listed = await server.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
            (ours,) = [one for one in listed.items if one.name == "main"]
            ours.address = "192.0.2.2"
            await server.sip.update_outbound_trunk(ours.sip_trunk_id, ours)
        _, changed = await phone(stack, "plan")
        assert [(one["action"], one["name"]) for one in changed["changes"]] == [("change", "main")]
        await phone(stack, "apply", "--yes")
        assert (await phone(stack, "plan"))[1]["changes"] == []

        async with opened_api(livekit) as server:
            listed = await server.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        assert others in {one.sip_trunk_id for one in listed.items}
        assert "127.0.0.1:1" in {one.address for one in listed.items if one.name == "main"}
