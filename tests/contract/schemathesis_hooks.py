"""Hooks for facts about this service that its schema cannot express. Schemathesis loads this file, see
test_schemathesis.py.

The HTTP code only repeats the status here, so whether a request was refused is read from the status.
"""

import schemathesis
from hypothesis import strategies as st

from oracle import DONE, Answer, breach
from portraits import faceless_png, hopper_jpeg, pixels, png, reencode, scale
from shared.calls import CALLS

IMAGES = {
    "image/jpeg": [reencode(hopper_jpeg(), 60), hopper_jpeg()[:5000]],
    "image/png": [scale(hopper_jpeg(), 0.3), scale(faceless_png(), 0.3), png(pixels(hopper_jpeg())[:1, :1])],
}

for kind, images in IMAGES.items():
    schemathesis.openapi.media_type(kind, st.sampled_from(images) | st.binary(min_size=1, max_size=200))


@schemathesis.check
def nothing_is_done_for_a_malformed_request(
    _context: object, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """In JSON only: forms have no types, so a value such as `true` is malformed in JSON and a valid word in a form."""
    if case.media_type == "application/json" and case.meta and case.meta.generation.mode.is_negative:
        assert response.json()["status"] not in DONE


@schemathesis.check
def the_answer_conforms_to_the_contract(
    _context: object, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Beyond the schema: exact messages, headers, and HTTP codes by status."""
    headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
    if response.status_code == 202:  # of an asynchronous call, whose schema is in the document
        assert headers["location"] == f"/v1/jobs/{response.json()['message']['job_id']}"
        return
    for call in CALLS:
        if (case.method, case.path) == (call.method, call.path):
            wrong = breach(Answer(response.status_code, headers, response.content), call)
            assert wrong is None, wrong
