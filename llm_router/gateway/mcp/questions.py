"""Asks the user before something is changed, in whichever way the client allows.

From protocol 2026-07-28 on a tool returns its question, and is called again with the answer. Older
clients are asked by elicitation where they have it and can be reached. Any other client calls the
tool again with a code, which only the question contains.
"""

import base64
import hashlib
import hmac
from typing import Any

from mcp.shared.exceptions import NoBackChannelError
from mcp_types import (
    ClientCapabilities,
    ElicitationCapability,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from llm_router.gateway.mcp.results import said
from llm_router.gateway.mcp.tool import Call, Result

_ANSWER = "answer"
_FIELD = "go_ahead"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {_FIELD: {"type": "boolean", "title": "Go ahead"}},
    "required": [_FIELD],
}
_ELICITS = ClientCapabilities(elicitation=ElicitationCapability())
_CODE_BYTES = 5


async def ask_back(call: Call, question: str, about: str) -> Result | None:
    """Returns None where the user has agreed, else the result that asks, or says that they do not.

    `about` identifies what the question is about, and the state that it describes: an answer to
    another question counts for nothing.
    """
    context, params = call.context, call.params
    if context.session.check_client_capability(_ELICITS):
        if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            answer = (params.input_responses or {}).get(_ANSWER)
            if isinstance(answer, ElicitResult) and params.request_state == about:
                return _judged(answer)
            return InputRequiredResult(
                input_requests={_ANSWER: ElicitRequest(params=_form(question))}, request_state=about
            )
        try:
            return _judged(await context.session.elicit_form(question, _SCHEMA, context.request_id))
        except NoBackChannelError:
            """Asked by a code, as a client that has no elicitation."""
    code = _code(call, about)
    if hmac.compare_digest(call.arguments.confirm.encode(), code.encode()):
        return None
    return said(
        f"{question}\n\nNothing is changed so far. Ask the user; if they agree, call {params.name}"
        f" again with the same arguments and confirm={code!r}."
    )


def _form(question: str) -> ElicitRequestFormParams:
    return ElicitRequestFormParams(message=question, requested_schema=_SCHEMA)


def _judged(answer: ElicitResult) -> Result | None:
    if answer.action == "accept" and (answer.content or {}).get(_FIELD) is True:
        return None
    return said("The user did not agree: nothing is changed.")


def _code(call: Call, about: str) -> str:
    """Returns the code of this question to this caller, which no other process need have stored."""
    text = f"{call.actor.key_id}\n{call.actor.name}\n{call.params.name}\n{about}"
    key, *_ = call.services.vault.derive("MCP's codes")
    made = hmac.digest(key, text.encode(), hashlib.sha256)
    return base64.b32encode(made[:_CODE_BYTES]).decode()
