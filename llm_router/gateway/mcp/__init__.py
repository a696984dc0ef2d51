"""Serves MCP: the connections and their state as tools, for assistants and editors.

Here belong the tools, what they ask back, and the server that lists them, over stdio and over HTTP.
A tool checks its arguments and calls `management`, the store or the router, as a route does.
"""
