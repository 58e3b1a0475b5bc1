"""A completed job is delivered again after the face that it added was deleted: the face does not return. One that adds
a face to a person adds it once.
"""

import json
import time
import uuid
from dataclasses import dataclass

import pytest
from redis import Redis

from portraits import hopper_jpeg
from service import Service
from shared.broker import RESULT_PREFIX, UNACKED
from shared.control import DEFAULT, Control
from shared.jobs import QUEUE, AddJob, image_key, new_gateway_id, new_job_id, new_request_id
from shared.messages import Messages
from shared.redis_clients import connect
from shared.settings import Settings

pytestmark = pytest.mark.embedded("it gives the image to an image store that is the service's own")


@dataclass
class Scene:
    service: Service
    broker: Redis
    facedb: str
    job: AddJob

    def deliver(self, *, again: bool = False) -> None:
        """Deliver the job's message and wait until it is done. again: marked as kombu marks a message of a killed
        worker.
        """
        with Redis.from_url(self.service.broker.replace("broker.sock", "images.sock")) as images:
            images.set(image_key(self.job.job_id), hopper_jpeg(), ex=60)
        messages = Messages(Settings(redis_url=self.service.broker))
        message = json.loads(messages.make(self.job, {}))
        messages.close()
        if again:
            message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
        with self.broker.monitor() as monitor:
            commands = monitor.listen()
            self.broker.lpush(QUEUE, json.dumps(message))
            done = f"HDEL {UNACKED} {message['properties']['delivery_tag']}"
            next(command for command in commands if command["command"] == done)

    def faces(self) -> list[str]:
        form = {"data": {"facedb": self.facedb}, "files": {"img": hopper_jpeg()}}
        answer = self.service.http.post("/v1/searchface", **form).json()
        return [match["person_id"] for match in answer["message"]] if answer["status"] == "OK" else []

    def delete(self, person_id: str) -> None:
        data = {"facedb": self.facedb, "person_id": person_id}
        assert self.service.http.post("/v1/delface", data=data).json()["status"] == "OK"


@pytest.fixture
async def scene(service: Service) -> Scene:
    name = uuid.uuid4().hex
    async with connect(service.broker) as redis:
        facedb = await Control(redis).create_facedb(DEFAULT, name)
    job_id = new_job_id(new_gateway_id(), new_request_id())
    job = AddJob(job_id=job_id, collection=facedb.collection, deadline=time.time() + 60, name="x")
    return Scene(service, Redis.from_url(service.broker, socket_timeout=60), name, job)


@pytest.mark.parametrize("again", [False, True], ids=["sent again by its gateway", "given to another worker"])
def test_a_deleted_face_stays_deleted(scene: Scene, again: bool) -> None:
    scene.deliver()
    (person_id,) = scene.faces()
    scene.delete(person_id)
    scene.deliver(again=again)
    assert scene.faces() == []


@pytest.mark.parametrize("again", [False, True], ids=["sent again by its gateway", "given to another worker"])
def test_a_face_of_a_person_is_added_once_and_stays_deleted(scene: Scene, again: bool) -> None:
    form = {"data": {"facedb": scene.facedb, "name": "first"}, "files": {"img": hopper_jpeg()}}
    person = scene.service.http.post("/v1/addface", **form).json()["message"][0]["person_id"]
    scene.job = scene.job.model_copy(update={"person_id": uuid.UUID(person)})
    path = f"/v1/persons/{person}"
    for _ in range(2):
        scene.deliver(again=again)
        faces = scene.service.http.get(path, params={"facedb": scene.facedb}).json()["message"]["faces"]
        assert [face["face_id"] for face in faces] == [person, str(scene.job.face_id(0))]
        scene.broker.delete(f"{RESULT_PREFIX}{scene.job.job_id}")  # as if its worker was killed before it answered
    gone = scene.service.http.delete(f"{path}/faces/{scene.job.face_id(0)}", params={"facedb": scene.facedb})
    assert gone.json()["status"] == "OK"
    scene.deliver(again=again)
    (face,) = scene.service.http.get(path, params={"facedb": scene.facedb}).json()["message"]["faces"]
    assert face["face_id"] == person


def test_a_job_with_a_stored_outcome_is_not_done_again(scene: Scene) -> None:
    scene.deliver()
    assert scene.broker.exists(f"{RESULT_PREFIX}{scene.job.job_id}")
    (person_id,) = scene.faces()
    scene.delete(person_id)
    scene.broker.delete(*scene.broker.keys("fs:deletion:*"))  # by which the other guard would recognise it
    scene.deliver(again=True)
    assert scene.faces() == []
