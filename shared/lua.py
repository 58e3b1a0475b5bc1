"""Lua scripts, which Redis runs atomically: each is a `.lua` file beside the module that uses it."""

import json
from importlib.resources import files


def load(package: str, *names: str, **constants: str | float) -> str:
    """Return the text of `<name>.lua` of a package, of several names one after the other, without the lines that are
    comments: some scripts go to the server whole with every call.

    constants: values that a script shares with Python; it sees each as a local of that name, and reading one that was
    not passed is an error of the script. Raises FileNotFoundError.
    """
    values = [f"local {name} = {json.dumps(value)}" for name, value in constants.items()]
    texts = [files(package).joinpath(f"{name}.lua").read_text("utf-8") for name in names]
    code = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("--")]
    return "\n".join([*values, *code])
