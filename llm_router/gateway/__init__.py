"""Serves the management API over HTTP.

Here belong routes, schemas, and what surrounds every request: authentication, rate limits, problem
documents. A route checks its input, calls `management` or the store, and shapes the answer; a
use-case that another door needs too belongs to `management`.
"""
