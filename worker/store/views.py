"""The store under the identity of a collection."""

from worker.models.spaces import Spaces
from worker.store.base import Store, check_identity


def matching(store: Store, collection: str) -> Store:
    """Return the store under the identity of the collection, whichever that is; the store itself where there is no such
    collection. Raises StoreError.
    """
    identity = store.identity_of(collection)
    return store if identity is None else store.under(identity)


def served(store: Store, spaces: Spaces, collection: str) -> Store | None:
    """Return the store under the identity of the collection; None where there is no such collection. Raises StoreError,
    and IdentityMismatch if the identity is not that of one of the spaces.
    """
    identity = store.identity_of(collection)
    if identity is None:
        return None
    if identity not in spaces.preprocessings:
        check_identity(collection, str(identity), spaces.preferred)
    return store.under(identity)
