"""The check of a request's parameters by the model of its call, see shared/calls.py."""

from typing import Final, TypeVar

from pydantic import ValidationError

from gateway.body.encoded_images import decode_base64, from_file
from gateway.body.uploads import Parameters
from shared.errors import InvalidRequest
from shared.parameters import CallParameters

M = TypeVar("M", bound=CallParameters)

_NOTHING: Final = frozenset({"missing", "string_too_short", "bytes_too_short"})
"""The types of pydantic's errors for a parameter that is missing or empty."""


def check(model: type[M], given: Parameters) -> M:
    """Return the parameters of a call. Raises InvalidRequest with the flaw of the first invalid one."""
    values: dict[str, str | bytes] = dict(given.text)
    for name in model.image_parameters:
        if name not in given.images:
            break  # it is the first wrong one, and the model says so
        sent = given.images[name]
        values[name] = from_file(sent, name) if name in given.files else decode_base64(sent, name)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        wrong = str(first["loc"][0])
        what = "is missing or empty; it must be" if first["type"] in _NOTHING else "must be"
        raise InvalidRequest(f"{wrong} {what} {model.model_fields[wrong].description}") from None
