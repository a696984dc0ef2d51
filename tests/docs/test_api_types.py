"""The console's types come from the API: their source must be that of today's API."""

import json

from agent.openapi import document, without_texts
from deploy import paths

STORED = paths.ROOT / "web" / "console" / "openapi.json"
REMEDY = "run: python -m agent.openapi --types > web/console/openapi.json"


async def test_the_console_is_built_from_the_api_of_today() -> None:
    assert json.loads(STORED.read_text(encoding="utf-8")) == without_texts(await document()), REMEDY


def test_texts_are_left_out_but_for_fields_of_that_name() -> None:
    field = {"title": {"type": "string", "title": "Title", "description": "Of the chat."}}
    assert without_texts({"properties": field}) == {"properties": {"title": {"type": "string"}}}
    assert without_texts({"enum": ["title"], "summary": "x"}) == {"enum": ["title"]}
