"""Commands about sites do and print the same over a database and over HTTP."""

from tests.contracts.cli_shell import Shell

ORIGIN = ("--origin", "https://shop.example")


def test_a_site_is_added_listed_and_shown(shell: Shell) -> None:
    assert "`sites add` makes one" in shell("sites", "list").stderr
    said = shell("sites", "add", "shop", *ORIGIN, "--set", "calls_at_once=5").stdout
    shown = shell.json("sites", "show", "shop")
    assert said == f"added shop; its pages send this key: {shown['key']}\n"
    assert (shown["origins"], shown["calls_at_once"]) == (["https://shop.example"], 5)
    assert [one["key"] for one in shell.json("sites", "list")] == [shown["key"]]


def test_an_edit_shows_the_fields_that_differ(shell: Shell) -> None:
    shell("sites", "add", "shop", *ORIGIN)
    edited = shell("sites", "edit", "shop", "--set", "is_active=false", "--set", "spend_per_day=10")
    assert edited.stdout.splitlines() == [
        "field\tbefore\tafter",
        "is_active\tyes\tno",
        "spend_per_day\t-\t10",
    ]


def test_an_older_version_is_restored(shell: Shell) -> None:
    shell("sites", "add", "shop", *ORIGIN)
    shell("sites", "edit", "shop", "--set", "spend_per_day=10")
    versions = shell.json("sites", "versions", "shop")
    assert [one["version"] for one in versions] == [2, 1]
    assert shell("sites", "versions", "shop").stdout.splitlines()[0] == "version\tauthor\tat"
    restored = shell("sites", "rollback", "shop", "1")
    assert restored.stdout.splitlines() == ["field\tbefore\tafter", "spend_per_day\t10\t-"]
    assert "no version 9" in shell("sites", "rollback", "shop", "9", code=2).stderr


def test_a_new_key_and_a_removal_ask_first(shell: Shell) -> None:
    shell("sites", "add", "shop", *ORIGIN)
    old = shell.json("sites", "show", "shop")["key"]
    assert "--yes" in shell("sites", "rotate-key", "shop", code=2).stderr
    assert old not in shell("sites", "rotate-key", "shop", "--yes").stdout
    assert shell("sites", "remove", "shop", "--yes").stdout == "removed shop\n"
    assert shell.json("sites", "list") == []


def test_what_makes_no_sense_is_refused_in_one_line(shell: Shell) -> None:
    shell("sites", "add", "shop", *ORIGIN)
    for words, said in [
        (("add", "blog"), "origins"),
        (("add", "blog", "--origin", "blog.example"), "https://shop.example"),
        (("add", "shop", *ORIGIN), "already"),
        (("edit", "shop"), "nothing to change"),
        (("edit", "shop", "--set", "colour=red"), "there is no such field"),
        (("show", "none"), "there is no site 'none'"),
        (("show", "../keys"), "small letters"),
    ]:
        refused = shell("sites", *words, code=2)
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
