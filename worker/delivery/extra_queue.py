"""The extra queue of the fair queue, consumed beside the ordinary one.

Celery limits the number of unacknowledged jobs for all queues of a consumer together. The extra queue must not use up
the limit of the ordinary one, so it has a consumer on a channel of its own, in the same event loop and thread pool.
"""

from typing import Any

from kombu.entity import Queue
from kombu.messaging import Consumer


def consume_extra_queue(consumer: Any, queue: str, limit: int) -> Consumer:
    """Return a kombu consumer of `queue` that takes at most `limit` jobs at once and hands them to Celery's `consumer`,
    which must have been started. The caller cancels it and closes its channel.
    """
    channel = consumer.connection.channel()
    channel.basic_qos(0, limit, False)
    extra = Consumer(  # type: ignore[no-untyped-call]
        channel,
        queues=[Queue(queue, routing_key=queue)],  # type: ignore[no-untyped-call]
        accept=consumer.app.conf.accept_content,
        on_message=consumer.create_task_handler(),
        on_decode_error=consumer.on_decode_error,
    )
    extra.consume()  # type: ignore[no-untyped-call]
    return extra
