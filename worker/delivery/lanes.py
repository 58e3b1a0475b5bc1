"""A second queue for one Celery consumer, with a number of jobs at once of its own.

Celery takes from all queues of a consumer up to one number of jobs. The extra queue of the fair queue must not use up
what is for the ordinary one, so it is consumed on a channel of its own, in the same loop and by the same pool.
"""

from typing import Any

from kombu.entity import Queue
from kombu.messaging import Consumer


def consume_beside(consumer: Any, queue: str, at_once: int) -> Consumer:
    """Have Celery's consumer, which has been started, take at most that many jobs at once from that queue, too, until
    what this returns is cancelled and its channel closed.
    """
    channel = consumer.connection.channel()
    channel.basic_qos(0, at_once, False)
    beside = Consumer(  # type: ignore[no-untyped-call]
        channel,
        queues=[Queue(queue, routing_key=queue)],  # type: ignore[no-untyped-call]
        accept=consumer.app.conf.accept_content,
        on_message=consumer.create_task_handler(),
        on_decode_error=consumer.on_decode_error,
    )
    beside.consume()  # type: ignore[no-untyped-call]
    return beside
