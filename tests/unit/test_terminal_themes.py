"""Colours of the terminal: btop's form, and which file is used."""

from pathlib import Path

import pytest

from llm_router.tui.btop import DEFAULTS, is_dark, read_setting, read_theme
from llm_router.tui.themes import ThemeFiles, to_theme

BUILT_IN = ["contrast", "dusk", "patchbay", "patchbay-light"]


@pytest.mark.parametrize(
    ("written", "colour"),
    [
        ('"#1A2b3C"', "#1a2b3c"),
        ("'#1a2b3c'", "#1a2b3c"),
        ("#1a2b3c", "#1a2b3c"),
        ('"#7f" # grey', "#7f7f7f"),
        ('"26 43 60"', "#1a2b3c"),
        ('""', DEFAULTS["main_fg"]),
        ('"26 43 600"', DEFAULTS["main_fg"]),
        ('"#12345"', DEFAULTS["main_fg"]),
        ('"red"', DEFAULTS["main_fg"]),
    ],
)
def test_a_colour_is_read_in_each_of_its_forms(written: str, colour: str) -> None:
    text = f"# a comment\ntheme[hi_fg]={written}\n  theme[main_fg]={written}\r\n"
    assert read_theme(text)["main_fg"] == colour


def test_a_gradient_without_its_middle_or_end_is_filled_in() -> None:
    colours = read_theme(
        'theme[temp_start]="#000000"\ntheme[temp_mid]=""\ntheme[temp_end]="#ffffff"'
    )
    assert colours["temp_mid"] == "#7f7f7f"
    alone = read_theme('theme[temp_start]="#123456"\ntheme[temp_end]=""')
    assert (alone["temp_mid"], alone["temp_end"]) == ("#123456", "#123456")


def test_colours_that_a_theme_leaves_out_have_stand_ins() -> None:
    colours = read_theme('theme[inactive_fg]="#111111"\ntheme[cpu_start]="#222222"')
    assert colours["graph_text"] == colours["meter_bg"] == "#111111"
    assert colours["process_start"] == colours["process_end"] == "#222222"
    assert "main_bg" not in colours


@pytest.mark.parametrize("text", ["", "\0" * 1000, "theme[", "theme[a]=\ntheme[b]", "é" * 5000])
def test_any_text_gives_a_whole_theme(text: str) -> None:
    assert read_theme(text).keys() >= DEFAULTS.keys()
    to_theme("any", read_theme(text))


def test_a_theme_without_a_background_leaves_the_terminal_its_own() -> None:
    assert to_theme("bare", read_theme('theme[main_bg]=""')).ansi
    assert not to_theme("full", read_theme('theme[main_bg]="#000000"')).ansi


def test_settings_are_read_as_btop_writes_them() -> None:
    text = '#? Config\n# color_theme = "no"\ncolor_theme = "nord" \nvim_keys = True\n'
    assert read_setting(text, "color_theme") == "nord"
    assert read_setting(text, "vim_keys") == "True"
    assert read_setting(text, "theme") == ""


def test_lightness_follows_the_background() -> None:
    assert is_dark("#202020")
    assert not is_dark("#fbfaf7")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / ".config" / "patchbay").mkdir(parents=True)
    (tmp_path / ".config" / "btop" / "themes").mkdir(parents=True)
    return tmp_path / ".config"


def files(config: Path, name: str = "") -> ThemeFiles:
    return ThemeFiles({"HOME": str(config.parent)}, name)


def test_four_themes_are_built_in_and_whole(config: Path) -> None:
    for name in BUILT_IN:
        colours = files(config, name).read()
        assert (colours.theme.name, colours.note) == (name, "")
        assert not colours.theme.ansi
    assert set(BUILT_IN) <= set(files(config).names())


def test_the_setting_is_followed_and_system_is_the_theme_of_btop(config: Path) -> None:
    settings = config / "patchbay" / "terminal.conf"
    source = files(config)
    assert source.read().theme.name == "patchbay"
    (config / "btop" / "btop.conf").write_text('color_theme = "dusk"\n')
    assert source.read().theme.name == "dusk"
    assert source.read() == source.read()
    settings.write_text("color_theme = terminal\n")
    assert source.read().theme.name == "terminal"
    settings.write_text('color_theme = "contrast"\n')
    assert source.read().theme.name == "contrast"
    settings.write_text("color_theme = system\n")
    (config / "btop" / "btop.conf").write_text('color_theme = "TTY"\n')
    assert source.read().theme.name == "terminal"


def test_ones_own_theme_comes_before_btops_and_a_path_is_a_name(config: Path) -> None:
    (config / "btop" / "themes" / "dusk.theme").write_text('theme[hi_fg]="#010203"')
    assert files(config, "dusk").read().theme.primary == "#010203"
    path = config / "else.theme"
    path.write_text('theme[hi_fg]="#040506"')
    assert files(config, str(path)).read().theme.primary == "#040506"


def test_an_unknown_theme_is_named_with_the_known_ones(config: Path) -> None:
    colours = files(config, "nowhere").read()
    assert colours.theme.name == "patchbay"
    assert "there is no theme 'nowhere'; known: system, terminal, contrast" in colours.note
