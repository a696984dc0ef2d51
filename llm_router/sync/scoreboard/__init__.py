"""Shares what each process has measured of an endpoint: its latency and its breaker.

Here belong the entries and the port (`base`), the exchange between a process and a board (`sync`),
and one module for each place that can hold a board: memory, an SQLite file, the store's database.
"""
