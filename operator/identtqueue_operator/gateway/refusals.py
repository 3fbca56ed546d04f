"""The refusal of a request: its HTTP status, a reason for programs, and a sentence for people."""

from http import HTTPStatus

from identtqueue.errors import (
    IdenttqueueError,
    InvalidInput,
    PayloadUndecodable,
    RedisUnavailable,
    TaskNotFound,
)
from identtqueue_operator.queues.redis_errors import explain, trouble_of


class Refused(Exception):
    """The answer to a request that is not carried out."""

    def __init__(self, status: HTTPStatus, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def bad_request(message: str) -> Refused:
    """Refuse what the caller has written wrongly."""
    return Refused(HTTPStatus.BAD_REQUEST, "InvalidRequest", message)


def refusal_of(error: IdenttqueueError) -> Refused:
    """Put an error of the library into an answer.

    What a server has answered is not repeated: the author of a TaskQueue chooses which server that
    is. Words about the caller's own input, and about tasks, are the library's own.
    """
    match error:
        case TaskNotFound():
            return Refused(HTTPStatus.NOT_FOUND, "TaskNotFound", str(error))
        case InvalidInput():
            return bad_request(str(error))
        case PayloadUndecodable():
            return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "PayloadUndecodable", str(error))
        case RedisUnavailable():
            status = HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            status = HTTPStatus.BAD_GATEWAY
    return Refused(status, str(trouble_of(error)), explain(error))
