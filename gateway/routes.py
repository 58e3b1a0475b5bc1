"""Paths and handlers. A handler translates between HTTP and the contract and calls one function; it decides nothing."""

from typing import Final

from aiohttp import web
from redis.asyncio import Redis

from gateway import images, parameters, uploads
from gateway.answers import answer
from gateway.auth import HEADER, Auth
from gateway.health import OK, readiness
from gateway.jobs import Jobs
from gateway.results import Results
from shared.contract import Status
from shared.control import Scope
from shared.settings import Settings

SETTINGS: Final = web.AppKey("settings", Settings)
AUTH: Final = web.AppKey("auth", Auth)
JOBS: Final = web.AppKey("jobs", Jobs)
RESULTS: Final = web.AppKey("results", Results)
REDIS: Final = web.AppKey("redis", Redis)

routes = web.RouteTableDef()


@routes.post("/v1/addface")
async def add_face(request: web.Request) -> web.Response:
    key = await request.app[AUTH].key(request.headers.get(HEADER), Scope.ADD)
    given = await uploads.read(request)
    image, name = parameters.image(given), parameters.name(given)
    collection = await request.app[AUTH].collection(key, parameters.facedb(given))
    images.check(image, request.app[SETTINGS].max_pixels)
    outcome = await request.app[JOBS].add(collection, image, name)
    return answer(outcome.status, outcome.message)


@routes.post("/v1/searchface")
async def search_face(request: web.Request) -> web.Response:
    key = await request.app[AUTH].key(request.headers.get(HEADER), Scope.SEARCH)
    given = await uploads.read(request)
    image = parameters.image(given)
    collection = await request.app[AUTH].collection(key, parameters.facedb(given))
    images.check(image, request.app[SETTINGS].max_pixels)
    outcome = await request.app[JOBS].search(collection, image)
    return answer(outcome.status, outcome.message)


@routes.post("/v1/delface")
async def delete_face(request: web.Request) -> web.Response:
    key = await request.app[AUTH].key(request.headers.get(HEADER), Scope.DELETE)
    given = await uploads.read(request)
    person_id = parameters.person_id(given)
    collection = await request.app[AUTH].collection(key, parameters.facedb(given))
    outcome = await request.app[JOBS].delete(collection, parameters.as_uuid(person_id))
    return answer(outcome.status, outcome.message)


@routes.get("/healthz")
async def health(_request: web.Request) -> web.Response:
    """The process lives."""
    return answer(Status.OK, "alive")


@routes.get("/readyz")
async def ready(request: web.Request) -> web.Response:
    """200 when a request would be answered now, else 503 with what is missing."""
    parts = await readiness(request.app[REDIS], request.app[RESULTS])
    return answer(Status.OK if set(parts.values()) == {OK} else Status.FAIL, parts)
