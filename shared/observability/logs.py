"""Structured logs on stderr: a static event name, data in keywords, and the bound ids of request and job.

No API key, name, image or embedding is ever passed to a logger.
"""

import logging
import sys
from typing import Final, Literal

import structlog

_CHATTY: Final = (
    "celery.app.trace",  # logs every result, names included, at INFO
    "celery.pool",  # logs every message, names included, at DEBUG
    "celery.worker.strategy",  # logs each job, as worker/tasks.py does
    "httpx",  # logs each call of Qdrant
)


def configure(level: str, style: Literal["json", "console"], process: str) -> None:
    """Send the records of structlog and the standard library through one chain. To be called once, at start."""

    def name_process(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        # Not by a context variable, which threads do not inherit.
        event["process"] = process
        return event

    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if style == "json":
        # structlog's default prints local variables: images, names and keys.
        without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        common.append(structlog.processors.ExceptionRenderer(without_locals))
        renderer = structlog.processors.JSONRenderer()
    else:
        # So does the default renderer where rich is installed.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),  # drops what is below the level at no cost
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
