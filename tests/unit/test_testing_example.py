"""Runs the example in the docstring of `llm_router.testing`."""

import textwrap
from typing import Any

from llm_router import testing


def test_the_example_of_the_testing_package_passes() -> None:
    lines = (testing.__doc__ or "").splitlines()
    code = textwrap.dedent("\n".join(line for line in lines if line.startswith("    ") or not line))
    names: dict[str, Any] = {}
    exec(code, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()
