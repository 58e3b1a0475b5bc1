"""Lua scripts, which Redis runs atomically: each is a `.lua` file beside the module that uses it."""

import json
from importlib.resources import files


def load(package: str, *names: str, **constants: str | float) -> str:
    """Return the text of `<name>.lua` of a package, of several names one after the other.

    constants: values that a script shares with Python; it sees each as a local of that name, and reading one that was
    not passed is an error of the script. Raises FileNotFoundError.
    """
    values = [f"local {name} = {json.dumps(value)}" for name, value in constants.items()]
    return "\n".join([*values, *(files(package).joinpath(f"{name}.lua").read_text("utf-8") for name in names)])
