"""Measures what the router adds to a reply while all is well."""
