"""Jobs that commands have workers of the running service do."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from facesearch.cli.console import settings_from
from facesearch.cli.control import change, query
from facesearch.embedded.broker import broker_url
from shared.control import Control
from shared.errors import OperatorError, Unavailable

if TYPE_CHECKING:
    from shared.operator_jobs import OperatorJobs

T = TypeVar("T")


def asked(data_dir: Path | None, operation: Callable[["OperatorJobs"], Awaitable[T]]) -> T:
    """Return the result of an operation that has workers do jobs."""
    return query(data_dir, _with_jobs(data_dir, operation))


def changed(
    data_dir: Path | None,
    action: str,
    operation: Callable[["OperatorJobs"], Awaitable[T]],
    tenant: str,
    facedb: str | None,
    more: Callable[[T], dict[str, str]] = lambda _: {},
) -> T:
    """Return the result of such an operation, which changes something, and record it. more: makes further fields of the
    Event from the result.
    """
    name = facedb or query(data_dir, lambda control: control.tenant(tenant)).facedb
    operate = _with_jobs(data_dir, operation)
    return change(data_dir, action, operate, lambda result: {"tenant": tenant, "facedb": name, **more(result)})


def _with_jobs(
    data_dir: Path | None, operation: Callable[["OperatorJobs"], Awaitable[T]]
) -> Callable[[Control], Awaitable[T]]:
    settings = settings_from(data_dir=data_dir)

    async def run(control: Control) -> T:
        # It loads Celery, for which the other commands need not wait.
        from shared.operator_jobs import OperatorJobs  # noqa: PLC0415 -- see above

        reached = settings.model_copy(update={"redis_url": SecretStr(broker_url(settings))})
        with closing(OperatorJobs(control, reached)) as jobs:
            try:
                return await operation(jobs)
            except Unavailable as error:
                raise OperatorError(error.reason) from None

    return run
