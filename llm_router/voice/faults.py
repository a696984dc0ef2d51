"""Explains to people why a record is refused."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """Returns the first fault with its field, and how many more there are. No value is in it: some
    are secret.
    """
    (fault, *more) = error.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(str(part)[:64] for part in fault["loc"][:4])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "there is no such field"
    others = f" (and {len(more)} more)" if more else ""
    return f"{place}: {message}{others}" if place else f"{message}{others}"
