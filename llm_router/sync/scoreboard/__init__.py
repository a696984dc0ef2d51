"""Shares what each process has measured of an endpoint: its latency and its breaker.

Here belong the summary, the port, and one module per place that keeps it (memory, SQLite, SQL).
"""
