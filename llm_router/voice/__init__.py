"""Holds the records of the voice product that stores, API, command line and worker share.

Everything here is pure: records, their rules and the port of their stores. SQL is in `store`, work
in `agent`.
"""
