"""The check of a request's parameters by the model of its call, see shared/calls.py."""

from typing import TypeVar

from gateway.body.encoded_images import decode_base64, from_file
from gateway.body.uploads import Parameters
from shared.parameters import CallParameters, checked

M = TypeVar("M", bound=CallParameters)


def check(model: type[M], given: Parameters) -> M:
    """Return the parameters of a call. Raises InvalidRequest with the flaw of the first invalid one."""
    values: dict[str, str | bytes] = dict(given.text)
    for name in model.image_parameters:
        if name not in given.images:
            break  # it is the first wrong one, and the model says so
        sent = given.images[name]
        values[name] = from_file(sent, name) if name in given.files else decode_base64(sent, name)
    return checked(model, values)
