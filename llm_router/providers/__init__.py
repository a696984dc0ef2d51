"""Clients of model servers: one module or folder for each wire protocol, found by its name.

A plugin here defines `create(connection, clock, guard=None) -> Provider`; the port is in `base`,
and `_wire` holds code that several of them share. A provider knows nothing of deadlines, retries or
other endpoints: those belong to `routing`. Providers do not import each other.
"""
