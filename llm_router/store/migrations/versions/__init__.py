"""Holds the migrations, one module per revision, in the order of their numbers.

A revision that has been released never changes: databases out there have run it.
"""
