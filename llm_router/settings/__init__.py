"""Reads the settings of the store and of its clients from the environment.

The command line and the SDK load the sections here; the processes of the agent add their own in
`config`. Everything else is handed plain values.
"""
