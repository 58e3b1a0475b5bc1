"""Changes to the channels of kombu's Redis transport.

kombu (5.7) has no public hooks for this, so `prepare_channel` replaces these attributes of a channel, once. Each
replacement calls the original:

    channel._create_client          one client for all commands, instead of a new one for each
    channel.handlers["BRPOP"]       reads the next message: one that cannot be read is dropped
    channel.qos.append              notes a message as taken: a full broker does not end the process
    channel.qos.ack                 acknowledges a message, unless the script that ended its job did
    channel.qos.restore_visible     searches for jobs of dead workers: a full broker ends the search, with one log line
    channel.qos.restore_by_tag      gives one of them back to the queue: one that cannot be read is dropped

Messages that can be read but are no jobs are dropped one step later, by worker/delivery/malformed.py. Requests with an
Idempotency-Key need no hook: worker/tasks.py looks their outcome up.
"""

import json
import time
from queue import Empty
from typing import Any, Final

import structlog
from redis import DataError, RedisError
from redis.exceptions import OutOfMemoryError

from shared import lua
from worker.delivery.full_broker import FullBrokerLog
from worker.thread_connections import ThreadConnections

log = structlog.stdlib.get_logger(__name__)

_TAKE: Final = lua.load(__package__, "take")


def prepare_channel(channel: Any, broker: ThreadConnections, full: FullBrokerLog, acknowledged: set[str]) -> None:
    """Change a channel as above. broker: the channel's. full: reports that the broker is full. acknowledged: the
    delivery tags of messages that are acknowledged at the broker, which this process does not know yet.
    """
    share_client(channel)
    _drop_unreadable(channel)
    _survive_full_broker(channel.qos, broker, full)
    _acknowledge_once(channel.qos, acknowledged)


def share_client(channel: Any) -> None:
    """Have a channel use one client for all its commands, as threads may share it.

    kombu makes a new client to note who has a job and another to forget it: 0.1 ms each, most of it a table of 169
    entries. Connections come from the channel's pool either way.
    """
    shared: Any = None
    create = channel._create_client  # noqa: SLF001 -- kombu has no public way, and a test fails when it changes

    def get_client(asynchronous: bool = False) -> Any:
        nonlocal shared
        if asynchronous:
            return create(asynchronous=True)
        if shared is None or shared.connection_pool is not channel.pool:
            shared = create()
        return shared

    channel._create_client = get_client  # noqa: SLF001 -- see above


def _drop_unreadable(channel: Any) -> None:
    """Drop what does not even become a message, in the queue and among the jobs of dead workers, where one that cannot
    be read would keep the others from being delivered again.
    """
    read, restore = channel.handlers["BRPOP"], channel.qos.restore_by_tag
    # kombu counts KeyError among these, which each envelope without a key raises.
    connection_errors = tuple(kind for kind in channel.connection_errors if kind is not KeyError)

    def read_next(**options: Any) -> object:
        try:
            return read(**options)
        except (Empty, *connection_errors):
            raise
        except Exception as error:
            # An error of the broker says nothing about the message; an argument that cannot be sent to it does.
            if isinstance(error, RedisError) and not isinstance(error, DataError):
                raise
            log.warning("message_dropped", reason="no message", error=type(error).__name__)
            return True

    def restore_by_tag(tag: Any, client: Any = None, leftmost: bool = False) -> None:
        qos = channel.qos
        with channel.conn_or_acquire(client) as connected:
            kept = connected.hget(qos.unacked_key, tag)
            if kept is not None and not _is_message(kept):
                pipeline = connected.pipeline()
                pipeline.zrem(qos.unacked_index_key, tag).hdel(qos.unacked_key, tag).execute()
                log.warning("message_dropped", reason="no message")
                return
        restore(tag, client=client, leftmost=leftmost)

    channel.handlers["BRPOP"] = read_next
    channel.qos.restore_by_tag = restore_by_tag


def _is_message(kept: bytes | str) -> bool:
    """Return whether it is a message as kombu notes it: with its exchange and its routing key."""
    try:
        payload, exchange, routing_key = json.loads(kept)
        return (
            isinstance(payload["headers"], dict)
            and isinstance(payload["properties"]["delivery_info"], dict)
            and isinstance(exchange, str)
            and isinstance(routing_key, str)
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _survive_full_broker(qos: Any, broker: ThreadConnections, full: FullBrokerLog) -> None:
    """Take a job although it cannot be noted as taken: if this worker is killed now, the job's gateway notices that no
    worker has it. Jobs of dead workers are searched for once there is memory again.
    """
    note, restore = broker.script(_TAKE), qos.restore_visible
    in_this_process: Any = super(type(qos), qos)

    def append_or_keep_here(message: Any, delivery_tag: str) -> None:
        where = message.delivery_info
        text = json.dumps([message._raw, where["exchange"], where["routing_key"]])  # noqa: SLF001 -- as kombu's append
        try:
            note([qos.unacked_index_key, qos.unacked_key], [time.time(), delivery_tag, text])
        except OutOfMemoryError:
            full.report()
        in_this_process.append(message, delivery_tag)

    def restore_if_possible(*args: Any, **kwargs: Any) -> None:
        try:
            restore(*args, **kwargs)
        except OutOfMemoryError:
            full.report()

    qos.append, qos.restore_visible = append_or_keep_here, restore_if_possible


def _acknowledge_once(qos: Any, acknowledged: set[str]) -> None:
    """Do without a command for a message that worker/delivery/ending.py has acknowledged."""
    ack = qos.ack

    def ack_unless_done(delivery_tag: str) -> None:
        try:
            acknowledged.remove(delivery_tag)
        except KeyError:
            ack(delivery_tag)
        else:
            in_this_process: Any = super(type(qos), qos)
            in_this_process.ack(delivery_tag)

    qos.ack = ack_unless_done
