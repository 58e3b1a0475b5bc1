"""`facesearch …`: its commands, options, types and choices, by the real command."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Final

import click

from contract.commands.pages import WrongError
from facesearch.cli.main import main

PLACEHOLDER: Final = re.compile(r"[A-Z][A-Z_-]*")
NUMBERS: Final = (click.types.IntParamType, click.types.FloatParamType)


def check(arguments: list[str], *, whole: bool) -> None:
    """Raises WrongError. whole: whether it has to have all arguments, as something to paste."""
    try:
        command, context, rest = _find(arguments)
        with _files_that_need_not_exist(command), redirect_stdout(io.StringIO()):
            made = command.make_context(context.info_name, _with_numbers(command, rest), parent=context.parent)
            made.close()
    except click.MissingParameter as error:
        if whole:
            raise WrongError(f"facesearch {' '.join(arguments)}: {error.format_message()}") from error
    except click.ClickException as error:
        raise WrongError(
            f"facesearch {' '.join(arguments)}: {error.format_message()} `facesearch --help` has what there is."
        ) from error
    except click.exceptions.Exit:
        return  # --help and --version


def _find(arguments: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    command: click.Command = main
    context = click.Context(main, info_name="facesearch")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"There is no command {name}.")
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command, context, rest


def exists(words: list[str]) -> bool:
    """Tell whether the words, or all but the first, name a command."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            return False
        found = command.get_command(click.Context(command), word)
        if found is None:
            return False
        command = found
    return True


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command, also of groups, with the words that name it."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def groups_of(name: str) -> list[str]:
    """Return the groups that have a command of this name."""
    return [path[0] for path, _ in commands() if len(path) == 2 and path[1] == name]


def option_exists(words: list[str]) -> bool:
    """Tell whether any command takes this option and its value, as in --days N, or has it, where no value is named."""
    for path, command in commands():
        named = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if words[0].partition("=")[0] not in named:
            continue
        if len(words) == 1:
            return True
        try:
            check([*path, *words], whole=False)
        except WrongError:
            continue
        return True
    return False


def _with_numbers(command: click.Command, arguments: list[str]) -> list[str]:
    """Return the arguments with a number in place of each placeholder of a number."""
    numeric = {
        name
        for option in command.params
        if isinstance(option, click.Option) and isinstance(option.type, NUMBERS)
        for name in option.opts
    }
    pairs = zip(["", *arguments], arguments, strict=False)
    return ["7" if before in numeric and PLACEHOLDER.fullmatch(given) else given for before, given in pairs]


@contextmanager
def _files_that_need_not_exist(command: click.Command) -> Iterator[None]:
    types = [each.type for each in command.params if isinstance(each.type, click.Path) and each.type.exists]
    for each in types:
        each.exists = False
    try:
        yield
    finally:
        for each in types:
            each.exists = True
