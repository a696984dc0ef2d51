"""Invariants are searched for without a stopwatch: a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("patchbay", deadline=None)
settings.load_profile("patchbay")
