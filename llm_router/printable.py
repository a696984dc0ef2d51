"""Makes texts of servers and other people safe to print on a terminal."""


def printable(text: str, keep: str = "") -> str:
    """Replaces characters that could steer a terminal by blanks, but those in `keep`.

    Texts come from servers and other people, who are not trusted.
    """
    return "".join(c if c.isprintable() or c in keep else " " for c in text)
