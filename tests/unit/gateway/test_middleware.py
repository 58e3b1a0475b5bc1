"""What the log of a gateway says of a request."""

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.calls.handlers import routes
from gateway.http.middleware import logged_path
from shared.calls import CALLS


async def test_the_path_of_a_person_is_logged_without_the_id() -> None:
    app = web.Application()
    app.add_routes(routes(CALLS))
    for path, logged in (
        ("/v1/persons/4fbd9474-e09f-4e7d-9a2f-06fa1167f67e", "/v1/persons/{person_id}"),
        ("/v1/persons", "/v1/persons"),
        ("/v1/nothing", "/v1/nothing"),
    ):
        request = make_mocked_request("GET", path)
        found = await app.router.resolve(request)
        request._match_info = found
        assert logged_path(request) == logged
