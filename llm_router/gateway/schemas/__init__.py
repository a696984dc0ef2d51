"""Defines the JSON that goes into and comes out of the HTTP API.

Here belong pydantic models, a module per group of routes. What is done with them belongs to
`management`; nothing here asks a database or a server.
"""
