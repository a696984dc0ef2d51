"""Orders the endpoints of a reply: one module per policy, found by its name.

A module here defines `create() -> Policy` and is pure: it reads no clock and awaits nothing. The
port is in `base`. Policies do not import each other.
"""
