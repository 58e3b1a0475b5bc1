"""Names that there are, for shells that complete them, and the option for the name of a tenant. Names that cannot
be had are left out: an error has no place within a command that is being written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import click
from click.shell_completion import CompletionItem

from facesearch.cli.console import settings_from
from facesearch.cli.control import query
from shared.control import DEFAULT, Control
from shared.errors import OperatorError

ANSWER_S: Final = 1.0
"""Seconds after which a broker that does not answer has no names: somebody waits at the keyboard."""


def tenants(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    async def names(control: Control) -> list[str]:
        return [tenant.name for tenant in await control.tenants()]

    return _matching(_asked(context, names), incomplete)


def facedbs(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the facedbs of the tenant that the command names, or of the default one."""

    async def names(control: Control) -> list[str]:
        return [facedb.name for facedb in await control.facedbs(_tenant(context))]

    return _matching(_asked(context, names), incomplete)


def keys(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of that tenant's keys, with their names."""
    found: list[CompletionItem] = []

    async def ids(control: Control) -> list[str]:
        listed = await control.keys(_tenant(context))
        found.extend(CompletionItem(key.id, help=key.name) for key in listed if key.id.startswith(incomplete))
        return []

    _asked(context, ids)
    return found


def models(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _matching(_models(), incomplete)


def embedders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _matching(_models("embedding"), incomplete)


def _models(*tasks: str) -> list[str]:
    from worker.models import catalog, custom  # noqa: PLC0415 -- other completions need not wait for it

    try:
        own = custom.names(settings_from().models_dir)
    except (OperatorError, OSError):
        own = []
    return [*(model.name for model in catalog.MODELS if not tasks or model.task in tasks), *own]


def _tenant(context: click.Context) -> str:
    return context.params.get("tenant") or DEFAULT


def _asked(context: click.Context, names: Callable[[Control], Awaitable[list[str]]]) -> list[str]:
    async def in_time(control: Control) -> list[str]:
        async with asyncio.timeout(ANSWER_S):
            return await names(control)

    try:
        return query(context.params.get("data_dir"), in_time)
    except OperatorError:
        return []


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


tenant_option = click.option(
    "--tenant", default=DEFAULT, show_default=True, help="Name of the tenant.", shell_complete=tenants
)
