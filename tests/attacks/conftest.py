"""Fixtures of the attacks: real databases."""

from tests.contracts.databases import cluster, database, files, migrated_file, postgres, server
from tests.contracts.gateway import gateway
from tests.contracts.stores import server_or_none, store

__all__ = [
    "cluster",
    "database",
    "files",
    "gateway",
    "migrated_file",
    "postgres",
    "server",
    "server_or_none",
    "store",
]
