"""Points llama.cpp's tests of its server at the gateway: a plugin of pytest for that suite.

Its server has one model, no key and its routes at the root as well; the gateway wants a key and a
model, and has its routes below /v1. The words that the suite expects are those of a model which is
not this one: any do. Runs in the suite's own environment; `tests/clients/test_llama_cpp.py` starts
it.
"""

import os
import sys
from types import ModuleType
from typing import Any

sys.modules["wget"] = ModuleType("wget")  # fetches models, of which none is needed here

import openai  # noqa: E402  has an environment of its own
import requests  # noqa: E402
import utils  # type: ignore[import-not-found]  # noqa: E402  of the suite

_KEY, _MODEL = os.environ["KEY"], os.environ["MODEL"]
_WORDS_OF_ITS_MODEL = "(Suddenly)+"

_post = requests.post
_matches = utils.match_regex
_init = openai.OpenAI.__init__


def _make_url(self: Any, path: str, host: str | None = None) -> str:
    return f"http://{host or self.server_host}:{self.server_port}/v1{path.removeprefix('/v1')}"


def _post_with_key(url: str, headers: Any = None, json: Any = None, **options: Any) -> Any:
    given = {name: value for name, value in (headers or {}).items() if value}
    body = (
        {**json, "model": json.get("model") or os.environ["MODEL"]}
        if isinstance(json, dict)
        else json
    )
    headers = given if headers else {"Authorization": f"Bearer {_KEY}"}
    return _post(url, headers=headers, json=body, **options)


def _any_words(regex: str, text: str) -> bool:
    return bool(text) if regex == _WORDS_OF_ITS_MODEL else bool(_matches(regex, text))


def _init_with_key(self: Any, *, api_key: str, **options: Any) -> None:
    _init(self, api_key=_KEY if api_key == "dummy" else api_key, **options)


utils.ServerProcess.make_url = _make_url
requests.post = _post_with_key  # type: ignore[assignment]  # takes what the suite gives
utils.match_regex = _any_words
openai.OpenAI.__init__ = _init_with_key  # type: ignore[assignment, method-assign]  # likewise
