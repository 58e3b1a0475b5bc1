"""A call for tests only, and a gateway and a worker that serve it beside the API's own calls.

    python tests/toy_call.py gateway FD    serve HTTP on the listening socket of that file descriptor
    python tests/toy_call.py worker        do the jobs

The call is complete in this module: the model of its parameters, its job, its action and its row of the table.
"""

import asyncio
import sys
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gateway.serving import serving as run_gateway
from shared.calls import CALLS, Call, Tag
from shared.contract import Status
from shared.control import Scope
from shared.errors import FaceNotDetected
from shared.jobs import Job
from shared.parameters import CallParameters, Img
from shared.settings import Settings
from worker import app
from worker.actions import ACTIONS
from worker.runtime import Runtime

Unit = Annotated[Literal["bytes", "bits"], Field(description="bytes or bits", examples=["bytes"])]


class WeighImageParameters(CallParameters):
    """photo: an image of any kind, under a name that no other call uses."""

    photo: Img
    unit: Unit = "bytes"


class WeighJob(Job):
    """Report the size of the image."""

    task: ClassVar[str] = "facesearch.weigh"

    unit: str


def weigh(job: WeighJob, runtime: Runtime) -> str:
    image = runtime.ledger.image(job.job_id) or b""
    if len(image) < 1000:
        raise FaceNotDetected
    return f"{len(image) * (8 if job.unit == 'bits' else 1)} {job.unit}"


WEIGH_IMAGE = Call(
    name="weighimage",
    tag=Tag("Scales", "For tests."),
    scope=Scope.SEARCH,
    parameters=WeighImageParameters,
    job=WeighJob,
    raises=(FaceNotDetected,),
    charged=frozenset({Status.OK}),
    result=str,
    result_example="2048 bytes",
    summary="Weigh an image",
    description="Says how large an image is.",
)

TABLE = (*CALLS, WEIGH_IMAGE)


def main() -> None:
    settings = Settings.read()
    if sys.argv[1] == "gateway":
        asyncio.run(run_gateway(settings, [int(sys.argv[2])], calls=TABLE))
    else:
        sys.exit(app.run(app.create_celery(settings, calls=TABLE, actions={**ACTIONS, WeighJob: weigh}), settings))


if __name__ == "__main__":
    main()
