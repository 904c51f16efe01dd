"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}."""

from starlette.responses import JSONResponse

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """`str(error)` is one sentence that says what is wrong and what to do. `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status, self.code, self.param, self.retry_after = status, code, param, retry_after

    @property
    def type(self) -> str:
        return _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    @property
    def body(self) -> dict:
        return {"message": str(self), "type": self.type, "param": self.param, "code": self.code}

    def response(self) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse({"error": self.body}, self.status, headers)


def mistake() -> ApiError:
    """For the client, when the fault is the server's; its log has the traceback."""
    return ApiError(500, "The server made a mistake: its log tells which.", code="internal_error")


def disk_full() -> ApiError:
    return ApiError(507, "The server's disk has no room for the audio: try again later.", code="disk_full")
