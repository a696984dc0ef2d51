"""Says what an error of a model server means: its class, recognised by status and words, and the
server's own sentence as far as an operator may read it, without keys and callers' words. Pure:
what follows from a class is in `failures`, how bodies are read in the providers' wire.
"""

from llm_router.classification.classify import classify, is_no_route
from llm_router.classification.lacking import lacking

__all__ = ["classify", "is_no_route", "lacking"]
