"""The service's answers to what it cannot or will not do."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from tasks.errors import DrError, Refused, Transient

# Seconds. A database that failed over inside its site is there again any moment.
_RETRY_S = 1


def later(why: str, seconds: int) -> HTTPException:
    """Refuse a request at once: 503, and when to come back."""
    return HTTPException(503, why, {"Retry-After": str(seconds)})


def add_answers(app: FastAPI) -> None:
    """Have errors answered."""
    app.add_exception_handler(RequestValidationError, _wrong)
    app.add_exception_handler(Transient, _unavailable)
    app.add_exception_handler(Refused, _conflict)


async def _wrong(_request: Request, error: Exception) -> JSONResponse:
    # FastAPI's own answer repeats the input, and fails where that cannot be encoded (a lone surrogate).
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": [{"loc": p["loc"], "msg": p["msg"]} for p in problems]}, 422)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return _problem(503, error, {"Retry-After": str(_RETRY_S)})


async def _conflict(_request: Request, error: Exception) -> JSONResponse:
    return _problem(409, error, {})


def _problem(status: int, error: Exception, headers: dict[str, str]) -> JSONResponse:
    message, detail = (error.message, error.detail) if isinstance(error, DrError) else (str(error), "")
    return JSONResponse({"detail": f"{message}: {detail}"}, status, headers)
