"""The command line, `llm-router`: a client of the management API.

With PATCHBAY_API_URL it asks the HTTP process there. Without, it brings the API along in its own
process, over the database, and whoever runs it is an admin: the machine is theirs. So each command
is written once, and does the same in both places.
"""
