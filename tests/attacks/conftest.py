"""Fixtures of the attacks: real databases."""

from tests.contracts.databases import cluster, files, migrated_file, postgres

__all__ = ["cluster", "files", "migrated_file", "postgres"]
