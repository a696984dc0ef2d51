"""Defines a connection: its record, who may do what with it, and what its checks mean.

Here belong the stored record, the port that every store implements, and the pure rules about both.
Nothing here opens a database or a socket, or reads a clock: `store` saves connections, `sync` keeps
endpoints up to date with them.
"""
