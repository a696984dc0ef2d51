"""Commands about assistants do and print the same over a database and over HTTP."""

from pathlib import Path

from llm_router.voice.assistant_file import read_assistants
from tests.contracts.cli_shell import Shell


def test_an_assistant_is_added_listed_and_shown(shell: Shell, tmp_path: Path) -> None:
    prompt = tmp_path / "shop.md"
    prompt.write_text("You are the shop.\n")
    fields = ("--set", 'languages=["en", "de"]', "--set", "greeting=Hello.")
    added = shell("assistants", "add", "shop", "--instructions-file", str(prompt), *fields)
    assert added.stdout == "added shop\n"
    header, row = shell("assistants", "list").stdout.splitlines()
    listed = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (listed["name"], listed["version"], listed["languages"]) == ("shop", "1", "en, de")
    shown = shell.json("assistants", "show", "shop")
    assert (shown["instructions"], shown["greeting"]) == ("You are the shop.", "Hello.")
    assert shell("assistants", "add", "shop", code=2).stderr.startswith("llm-router: there is an")


def test_an_empty_list_says_what_calls_have(shell: Shell) -> None:
    assert "ASSISTANTS_FILE" in shell("assistants", "list").stderr


def test_edits_are_versions_that_are_compared_and_restored(shell: Shell) -> None:
    shell("assistants", "add", "shop", "--set", "greeting=Old.")
    edited = shell("assistants", "edit", "shop", "--set", "greeting=New.", "--set", "speed=1.5")
    assert "greeting\tOld.\tNew.\n" in edited.stdout
    diff = shell.json("assistants", "diff", "shop")["fields"]
    assert diff["greeting"] == {"before": "Old.", "after": "New."}
    assert shell.json("assistants", "diff", "shop", "2", "2")["fields"] == {}
    shell("assistants", "rollback", "shop", "1")
    assert shell.json("assistants", "show", "shop")["greeting"] == "Old."
    assert shell.json("assistants", "show", "shop", "--version", "2")["greeting"] == "New."
    versions = shell.json("assistants", "versions", "shop")
    assert [(each["version"], each["restored"]) for each in versions] == [
        (3, 1), (2, None), (1, None),
    ]  # fmt: skip


def test_what_makes_no_sense_is_refused_in_one_line(shell: Shell) -> None:
    shell("assistants", "add", "shop")
    for words, said in [
        (("edit", "shop"), "nothing to change"),
        (("edit", "shop", "--set", "speed"), "must look like FIELD=VALUE"),
        (("edit", "shop", "--set", "voise=a"), "there is no such field"),
        (("edit", "shop", "--set", "speed=9"), "speed"),
        (("edit", "shop", "--instructions-file", "none.md"), "cannot be read"),
        (("show", "../keys"), "small letters"),
        (("show", "none"), "there is no assistant 'none'"),
        (("remove", "shop"), "--yes"),
    ]:
        refused = shell("assistants", *words, code=2)
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_removed_assistant_is_gone(shell: Shell) -> None:
    shell("assistants", "add", "shop")
    assert shell("assistants", "remove", "shop", "--yes").stdout == "removed shop\n"
    assert shell.json("assistants", "list") == []


def test_an_export_is_a_file_from_which_assistants_are_added(shell: Shell, tmp_path: Path) -> None:
    fields = ("--set", "greeting=", "--set", "speed=1.2", "--set", 'instructions=a "b"\nc')
    shell("assistants", "add", "shop", *fields)
    file = tmp_path / "assistants.toml"
    file.write_text(shell("assistants", "export").stdout, encoding="utf-8")
    shop = read_assistants(file.read_text(encoding="utf-8"), "file", {})["shop"]
    assert (shop.greeting, shop.speed, shop.instructions) == ("", 1.2, 'a "b"\nc')
    shell("assistants", "remove", "shop", "--yes")
    shell("assistants", "add", "shop", "--file", str(file))
    assert shell.json("assistants", "show", "shop")["speed"] == 1.2
    assert "'none'" in shell("assistants", "add", "none", "--file", str(file), code=2).stderr
