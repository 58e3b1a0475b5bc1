"""How those who do long work say how far it is."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Says one line."""

Show = Callable[[str, int, int | None], None]
"""Shows progress: what is counted, in the plural; how many are done; of how many, None where that is not known. Called
as often as it changes. Another thing that is counted, or a smaller count, begins the next stage of the work.
"""


def not_shown(what: str, done: int, total: int | None) -> None:
    """Show nothing."""
