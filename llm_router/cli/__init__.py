"""The command line, `llm-router`: a client of the management API.

With PATCHBAY_API_URL, commands call the HTTP process there. Without it, they run the same API in
their own process, over the database, with the rights of an admin: the machine holds the master
key. So each command is written once and does the same in both places.

Only commands, their options and their output belong here; the work is done by the API, or by
`management` and `store` for a command on the database itself.
"""
