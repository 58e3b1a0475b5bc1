"""What the confidences of a facedb are given by: the model's calibration, or one that was measured on its own faces.

It is a record beside the facedb's own, because gateways of an earlier release refuse records with unknown fields. These
go on with the model's calibration.
"""

from collections.abc import Callable
from datetime import datetime
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.confidence import Estimate
from shared.control.layout import (
    Connected,
    begin,
    confidence_key,
    facedb_key,
    now,
    read_facedb,
    readable,
)
from shared.control.records import Confidence, Conflict, Facedb, Table

Change = Callable[[Confidence | None, datetime], Table | None]
"""Returns the next table, from the record so far and the time. Raises Conflict."""


class Confidences(Connected):
    """The part of Control for the confidences of facedbs. by: who changes them, as in the audit trail."""

    async def confidence(self, tenant: str, facedb: str) -> Confidence | None:
        """Return what the facedb's confidences are given by; None if it was never changed. Raises Unknown."""
        await self.tenant(tenant)
        return await _read(self.redis, tenant, await read_facedb(self.redis, tenant, facedb))

    async def keep_confidence(
        self, tenant: str, facedb: str, collection: str, estimate: Estimate, by: str
    ) -> Confidence:
        """Give the confidences by an estimate from now on. collection: that it was measured on. Raises Unknown, and
        Conflict if that is no longer the facedb's.
        """

        def change(_: Confidence | None, when: datetime) -> Table:
            return Table(identity=estimate.identity, points=estimate.points, faces=estimate.faces, measured=when, by=by)

        return await self._change(tenant, facedb, collection, change, by)

    async def remove_confidence(self, tenant: str, facedb: str, by: str) -> Confidence:
        """Give the confidences by the model's calibration again. Raises Unknown, and Conflict if they are."""

        def change(record: Confidence | None, _: datetime) -> None:
            if record is None or record.table is None:
                raise Conflict(f"the confidences of facedb {facedb} are given by the model's calibration already")

        return await self._change(tenant, facedb, None, change, by)

    async def undo_confidence(self, tenant: str, facedb: str, by: str) -> Confidence:
        """Give the confidences as before the last change; done twice, it changes nothing. Raises Unknown, and Conflict
        if there was no change.
        """

        def change(record: Confidence | None, _: datetime) -> Table | None:
            if record is None:
                raise Conflict(f"the confidences of facedb {facedb} were never changed")
            return record.former

        return await self._change(tenant, facedb, None, change, by)

    async def _change(self, tenant: str, name: str, collection: str | None, change: Change, by: str) -> Confidence:
        await self.tenant(tenant)

        async def put(pipe: Pipeline) -> Confidence:
            facedb = await read_facedb(pipe, tenant, name)
            if collection not in (None, facedb.collection):
                raise Conflict(f"facedb {name} of tenant {tenant} was dropped and created again meanwhile; ask again")
            record, when = await _read(pipe, tenant, facedb), now()
            table = change(record, when)
            made = Confidence(
                collection=facedb.collection,
                version=1 + (record.version if record else 0),
                changed=when,
                by=by,
                table=table,
                former=record.table if record else None,
            )
            begin(pipe)
            # Without fields that are None, as of keys.
            pipe.set(confidence_key(tenant, name), made.model_dump_json(exclude_none=True))
            return made

        watched = facedb_key(tenant, name), confidence_key(tenant, name)
        return cast("Confidence", await self.atomically(put, *watched))


async def _read(redis: Redis, tenant: str, facedb: Facedb) -> Confidence | None:
    """Return the record of the facedb's confidences; one that is damaged, or of a former facedb, counts as none."""
    text = cast("bytes | None", await redis.get(confidence_key(tenant, facedb.name)))
    return next((record for record in readable(Confidence, [text]) if record.collection == facedb.collection), None)
