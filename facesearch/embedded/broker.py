"""The broker of a service: the Redis of REDIS_URL, or the embedded server that runs on the data directory."""

from redis import AuthenticationError

from facesearch.embedded import data_directory, servers
from shared.errors import OperatorError
from shared.redis_url import parse
from shared.settings import Settings


def broker_url(settings: Settings) -> str:
    """Return the URL of the broker. Raises OperatorError if it is neither given nor running on the data directory."""
    if settings.redis_url is not None:
        return settings.broker
    data_directory.require_readable(settings.data_dir)
    socket = data_directory.broker_socket(settings.data_dir)
    if not socket.exists():
        raise OperatorError(not_running(settings))
    return servers.url(socket)


def images_url(settings: Settings) -> str:
    """Return the URL of the image store. Raises OperatorError as broker_url does."""
    if settings.redis_url is not None or settings.images_url is not None:
        return settings.images
    data_directory.require_readable(settings.data_dir)
    socket = data_directory.broker_socket(settings.data_dir)
    if not socket.exists():
        raise OperatorError(not_running(settings))
    return servers.url(socket.with_name(data_directory.IMAGES_SOCKET))


def not_running(settings: Settings) -> str:
    return f"no service runs on {settings.data_dir}; start it with `facesearch up`, or set REDIS_URL"


def describe_failure(settings: Settings, error: BaseException) -> str:
    """Return one line about the broker that raised this error, for the operator."""
    if settings.redis_url is None:
        return (
            f"the broker of {settings.data_dir} does not answer ({type(error).__name__}); see whether the service "
            f"runs, and {data_directory.BROKER}/valkey.log there"
        )
    return describe_redis_failure(settings.broker, "REDIS_URL", error)


def describe_redis_failure(url: str, variable: str, error: BaseException) -> str:
    """Return one line about the Redis at this URL, which the variable holds, and the error it raised."""
    where, kind = f"the Redis of {variable} at {parse(url)}", type(error).__name__
    if isinstance(error, AuthenticationError):
        return f"{where} refuses the login ({kind}); correct the user and password in {variable}"
    return f"{where} does not answer ({kind}); start it, or correct {variable}"
