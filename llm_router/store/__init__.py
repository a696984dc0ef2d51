"""Stores connections, keys, usage and health checks in SQLite or PostgreSQL.

Here belong tables, migrations, and the code that reads and writes them. What a record means and who
may change it is decided in `connections`; nothing here calls a model server or knows about HTTP.
"""
