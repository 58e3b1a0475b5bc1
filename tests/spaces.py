"""Embedding spaces of tests."""

from worker.models.identity import Identity
from worker.models.spaces import Spaces
from worker.models.versions import PREPROCESSING_VERSION, PREPROCESSINGS


def only(identity: Identity) -> Spaces:
    """Return the spaces of a service that knows one preprocessing."""
    return Spaces({identity: PREPROCESSINGS[PREPROCESSING_VERSION]}, [identity])
