"""The version of the router, in one place for its distribution, its requests and its API."""

__version__ = "0.1.0"
