"""When enough copies of every shard are in service."""

import pytest
from qdrant_client.models import CollectionClusterInfo, LocalShardInfo, RemoteShardInfo, ReplicaState

from worker.store.base import StoreUnavailable
from worker.store.qdrant.copies import require_copies

ACTIVE, DEAD, PARTIAL = ReplicaState.ACTIVE, ReplicaState.DEAD, ReplicaState.PARTIAL


class Node:
    """A client of a node that has some copies itself and knows those of the others: pairs of shard and state."""

    def __init__(self, here: list[tuple[int, ReplicaState]], elsewhere: list[tuple[int, ReplicaState]]) -> None:
        self._here, self._elsewhere = here, elsewhere

    def collection_cluster_info(self, _name: str) -> CollectionClusterInfo:
        return CollectionClusterInfo(
            peer_id=1,
            shard_count=2,
            local_shards=[LocalShardInfo(shard_id=shard, points_count=1, state=state) for shard, state in self._here],
            remote_shards=[RemoteShardInfo(shard_id=shard, peer_id=2, state=state) for shard, state in self._elsewhere],
            shard_transfers=[],
        )


@pytest.mark.parametrize(
    ("here", "elsewhere", "least"),
    [
        ([(0, ACTIVE), (1, ACTIVE)], [(0, ACTIVE), (1, ACTIVE)], 2),
        ([], [(0, ACTIVE), (0, ACTIVE), (1, ACTIVE), (1, ACTIVE)], 2),
        ([(0, ACTIVE)], [(0, ACTIVE), (0, DEAD), (1, ACTIVE), (1, ACTIVE), (1, ACTIVE)], 2),
    ],
    ids=["a copy of each here", "a node without copies", "2 of 3"],
)
def test_a_write_is_acknowledged_with_enough_copies_of_each_shard(here: list, elsewhere: list, least: int) -> None:
    require_copies(Node(here, elsewhere), "t.db", least)


@pytest.mark.parametrize(
    ("here", "elsewhere", "found"),
    [
        ([(0, ACTIVE), (1, ACTIVE)], [(0, ACTIVE), (1, DEAD)], 1),
        ([(0, ACTIVE), (1, ACTIVE)], [(0, PARTIAL), (1, ACTIVE)], 1),
        ([(0, ACTIVE), (1, ACTIVE)], [(0, ACTIVE)], 1),
        ([(0, DEAD)], [(0, DEAD)], 0),
        ([], [], 0),
    ],
    ids=["lost", "still catching up", "never made", "all lost", "no shard known"],
)
def test_a_copy_out_of_service_does_not_count(here: list, elsewhere: list, found: int) -> None:
    with pytest.raises(StoreUnavailable, match=rf"{found} of 2 copies of t\.db are in service"):
        require_copies(Node(here, elsewhere), "t.db", 2)
