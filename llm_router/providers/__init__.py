"""Speaks to model servers: one module or folder per wire, found by its name.

A plugin here defines `create(connection, clock, guard) -> Provider`; the port is in `base`, and
`_wire` holds what several of them share. A provider knows nothing of deadlines, retries or other
endpoints: those belong to `routing`. Providers do not import each other.
"""
