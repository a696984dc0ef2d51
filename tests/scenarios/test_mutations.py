"""Checks that the mutations still apply to the code; `mutations.py` shows that they are noticed."""

import shutil
from pathlib import Path

import pytest

from tests.scenarios.mutations import MUTATIONS, ROOT, Mutation, apply


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_still_finds_its_place_and_leaves_code_that_compiles(
    mutation: Mutation, tmp_path: Path
) -> None:
    file = tmp_path / mutation.file
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / mutation.file, file)
    apply(mutation, tmp_path)
    compile(file.read_text(encoding="utf-8"), str(file), "exec")
