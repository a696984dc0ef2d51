"""Groups the routes of the management API: one module per group, found by its name.

A module here defines `router`, a FastAPI `APIRouter`. Routes do not import each other.
"""
