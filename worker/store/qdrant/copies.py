"""How many copies have an acknowledged write, where FACESEARCH_QDRANT_WRITE_CONSISTENCY asks for several.

Collections are made with a write consistency of 1, and the copies are counted here. The server's own factor breaks
searches where it is as large as the number of copies and a node is gone for good: the writes that it then refuses never
take the lost copy out of service, and a node that passes such a write on takes the refusal for a failure of the copy
that lives, and puts that one out of service for good (Qdrant 1.19, replica_set/update.rs). With a factor of 1 the
server acknowledges a write when every copy in service has it and the lost one is out of service; then searches use the
others.
"""

from collections import Counter

from qdrant_client import models
from qdrant_client.client_base import QdrantBase

from worker.store.base import StoreUnavailable


def require_copies(client: QdrantBase, name: str, least: int) -> None:
    """Raise StoreUnavailable unless each shard of a collection has at least this many copies in service. After an
    acknowledged write each of these has the write.
    """
    found = client.collection_cluster_info(name)
    states = [(shard.shard_id, shard.state) for shard in found.local_shards]
    states += [(shard.shard_id, shard.state) for shard in found.remote_shards]
    in_service = Counter(shard for shard, state in states if state == models.ReplicaState.ACTIVE)
    fewest = min((in_service[shard] for shard, _ in states), default=0)
    if fewest < least:
        raise StoreUnavailable(
            f"{fewest} of {least} copies of {name} are in service: replace the lost node of Qdrant, or lower "
            "FACESEARCH_QDRANT_WRITE_CONSISTENCY"
        )
