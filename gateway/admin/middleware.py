"""Middlewares of the admin API: one requires the admin key, one turns errors of operators into answers. Both belong
inside `errors` of gateway/http/middleware.py.
"""

import hashlib
import hmac
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from redis import RedisError

from gateway.admin.wrong_keys import WrongKeys
from gateway.http.answers import answer
from gateway.http.middleware import logged_path
from gateway.pages.routes import is_page
from shared.contract import Status
from shared.control import Conflict, Unknown
from shared.errors import InvalidRequest, OperatorError, TooManyRequests, Unauthorized, Unavailable

HEADER: Final = "X-Admin-Key"

UNAUTHORIZED: Final = f"{HEADER} header is missing or wrong"

log = structlog.stdlib.get_logger(__name__)


def require_admin_key(admin_key: str, wrong_keys: WrongKeys) -> Middleware:
    """Return a middleware that requires the key for every path, existing or not, but not for the files of pages, where
    operators enter it. The right key always passes.
    """
    expected = _digest(admin_key)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_page(request.path):
            return await handler(request)
        # Digests, so that the time depends neither on how much of the key is right nor on its length.
        if not hmac.compare_digest(_digest(request.headers.get(HEADER, "")), expected):
            wait_s = wrong_keys.record(request.remote or "")
            if wait_s is not None:
                raise TooManyRequests("wrong admin keys", wait_s)
            raise Unauthorized(UNAUTHORIZED)
        response = await handler(request)
        if request.method not in ("GET", "HEAD"):
            log.info("admin_request", method=request.method, path=logged_path(request), http_status=response.status)
        return response

    return authenticate


@web.middleware
async def operator_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors of operators into INVALID_REQUEST with their text. Unlike in the calls, the HTTP code depends on the
    kind of error.
    """
    try:
        return await handler(request)
    except OperatorError as error:
        http_status = 404 if isinstance(error, Unknown) else 409 if isinstance(error, Conflict) else 400
        return answer(Status.INVALID_REQUEST, str(error), http_status)
    except InvalidRequest as error:
        return answer(Status.INVALID_REQUEST, error.message, 400)
    except (RedisError, OSError) as error:
        raise Unavailable(f"control data: {type(error).__name__}") from error
    except web.HTTPNotFound:
        return answer(Status.INVALID_REQUEST, "unknown path; docs/admin-api.md lists those of the admin API", 404)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
