"""Finds the colours of the terminal, and reads them again when their files change.

`color_theme` in ~/.config/patchbay/terminal.conf is `system` (the theme that btop is set to),
`terminal` (the terminal's own colours), or the name of a theme.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.theme import BUILTIN_THEMES, Theme

from llm_router.tui.btop import is_dark, read_setting, read_theme

SYSTEM, TERMINAL, DEFAULT = "system", "terminal", "patchbay"
_BUILT_IN = Path(__file__).with_name("themes")
_LARGEST = 65_536
"""Bytes of a file of colours or settings; what is beyond is not read."""
_BTOPS_OWN = {"": DEFAULT, "Default": DEFAULT, "TTY": TERMINAL}


@dataclass(frozen=True)
class Colours:
    """The theme to use; `note` says what is wrong with the one that was asked for, if anything."""

    theme: Theme
    note: str = ""


class ThemeFiles:
    """The files that say which colours are used. `name` takes precedence over `color_theme`."""

    def __init__(self, environ: Mapping[str, str], name: str = "") -> None:
        home = Path(environ.get("HOME") or Path.home())
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        self._name = name
        self.settings = config / "patchbay" / "terminal.conf"
        self._btop = config / "btop" / "btop.conf"
        self._folders = (
            config / "patchbay" / "themes",
            config / "btop" / "themes",
            Path("/usr/local/share/btop/themes"),
            Path("/usr/share/btop/themes"),
            _BUILT_IN,
        )

    def read(self) -> Colours:
        """Reads the files, and returns equal colours as long as they have not changed."""
        name = self._name or read_setting(_text(self.settings), "color_theme") or SYSTEM
        if name == SYSTEM:
            name = read_setting(_text(self._btop), "color_theme")
            name = _BTOPS_OWN.get(name, name)
        if name == TERMINAL:
            return Colours(terminal_theme())
        path = self._find(name)
        if text := _text(path) if path else "":
            return Colours(to_theme(Path(name).stem, read_theme(text)))
        default = to_theme(DEFAULT, read_theme(_text(_BUILT_IN / f"{DEFAULT}.theme")))
        return Colours(
            default, f"there is no theme {name[:50]!r}; known: {', '.join(self.names()[:20])}"
        )

    def names(self) -> list[str]:
        """Returns the names of the themes that are there."""
        found = (path.stem for folder in self._folders for path in _listed(folder))
        return [SYSTEM, TERMINAL, *sorted(set(found))]

    def _find(self, name: str) -> Path | None:
        """Returns the file of a theme, by its name or its path."""
        if "/" in name:
            path = Path(name).expanduser()
            return path if path.is_file() else None
        paths = (folder / f"{name}.theme" for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)


def to_theme(name: str, colours: Mapping[str, str]) -> Theme:
    """Returns btop's colours as a theme of Textual's."""
    background = colours.get("main_bg")
    return Theme(
        name=name,
        ansi=background is None,  # leaves the terminal its background
        dark=is_dark(background) if background else not is_dark(colours["main_fg"]),
        primary=colours["hi_fg"],
        secondary=colours["mem_box"],
        accent=colours["cpu_box"],
        success=colours["temp_start"],
        warning=colours["temp_mid"],
        error=colours["temp_end"],
        foreground=colours["main_fg"],
        background=background or "ansi_default",
        surface=background or "ansi_default",
        panel=background or "ansi_default",
        variables={
            "user": colours["cpu_box"],
            "agent": colours["mem_box"],
            "system-line": colours["inactive_fg"],
            "time": colours["graph_text"],
            "border": colours["hi_fg"],
            "border-blurred": colours["div_line"],
            "scrollbar": colours["process_start"],
            "scrollbar-hover": colours["process_mid"],
            "scrollbar-active": colours["process_end"],
            "scrollbar-background": background or "ansi_default",
            "block-cursor-background": colours["selected_bg"],
            "block-cursor-foreground": colours["selected_fg"],
            "footer-key-foreground": colours["hi_fg"],
        },
    )


def terminal_theme() -> Theme:
    """Returns a theme of the sixteen colours that the terminal is set to."""
    base = BUILTIN_THEMES["ansi-dark"]
    grey = "ansi_bright_black"
    own = {"user": "ansi_cyan", "agent": "ansi_green", "system-line": grey, "time": grey}
    variables = {**base.variables, **own}
    return Theme(
        name=TERMINAL,
        ansi=True,
        primary=base.primary,
        secondary=base.secondary,
        warning=base.warning,
        error=base.error,
        success=base.success,
        accent=base.accent,
        foreground=base.foreground,
        background=base.background,
        surface=base.surface,
        panel=base.panel,
        boost=base.boost,
        variables=variables,
    )


def _text(path: Path) -> str:
    """Returns the begin of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".theme"]
    except OSError:
        return []
