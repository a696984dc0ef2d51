"""Finds connections outside the store: in a file, in the environment, on this machine.

Here belong the formats that connections are imported from, the search for local servers, and the
comparison of what was found with what is stored. Nothing here stores or routes it.
"""
