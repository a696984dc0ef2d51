"""Finds connections outside the store: in a file, in the environment, on this machine.

Here belong the formats that connections are imported from and the search for local servers.
Nothing here stores or routes what was found.
"""
