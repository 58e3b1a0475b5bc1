"""Whether the service takes a name, by the rules with which it checks them itself."""

from enum import Enum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shared.parameters import FreeName, Name


class Fit(Enum):
    """Which services take a name."""

    ALWAYS = "always"
    WHERE_FREE = "where names are free"
    NEVER = "never"


_STRICT: Final[TypeAdapter[Any]] = TypeAdapter(Name)
_FREE: Final[TypeAdapter[Any]] = TypeAdapter(FreeName)

STRICT_RULE: Final = (
    "this service takes names of at most 128 letters and digits; with FACESEARCH_NAMES=free it takes any text"
)
FREE_RULE: Final = "names have at most 128 printable characters"


def fit(name: str) -> Fit:
    r"""Return which services take the name.

    >>> fit("Ann"), fit("Ann Lee"), fit("Ann\n")
    (<Fit.ALWAYS: 'always'>, <Fit.WHERE_FREE: 'where names are free'>, <Fit.NEVER: 'never'>)
    """
    if _takes(_STRICT, name):
        return Fit.ALWAYS
    return Fit.WHERE_FREE if _takes(_FREE, name) else Fit.NEVER


def _takes(rule: TypeAdapter[Any], name: str) -> bool:
    try:
        rule.validate_python(name)
    except ValidationError:
        return False
    return True
