"""Errors as problem+json (RFC 9457): each type has an address, which explains it."""

import html
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Mount

__all__ = [
    "MEDIA_TYPE",
    "PROBLEMS",
    "Problem",
    "ProblemError",
    "handle_problems",
    "problem",
    "problem_page",
    "problem_response",
]

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """A kind of error: its HTTP status, a short title, and what a client can do."""

    status: int
    title: str
    remedy: str


PROBLEMS = {
    "bad-form": ProblemType(
        400, "Invalid form", "Send multipart/form-data with one recording in the field file."
    ),
    "token-needed": ProblemType(
        401, "Token needed", "Send the header Authorization: Bearer TOKEN, or sign in at the page."
    ),
    "unknown-host": ProblemType(
        403, "Unknown host", "Use the address that the server printed, or serve with --token."
    ),
    "cross-site": ProblemType(
        403, "Cross-site request", "Browsers may send this request from the server's own page only."
    ),
    "not-found": ProblemType(404, "Not found", "See /openapi.json for the addresses of the API."),
    "unknown-prediction": ProblemType(
        404, "Unknown prediction", "It has expired or was deleted. Upload the recording again."
    ),
    "unknown-model": ProblemType(404, "Unknown model", "See /v1/models for the names of models."),
    "method-not-allowed": ProblemType(
        405, "Method not allowed", "The header Allow lists the methods of this address."
    ),
    "upload-timeout": ProblemType(
        408, "Upload too slow", "Upload again over a faster connection, or send a smaller file."
    ),
    "no-result": ProblemType(
        409, "No result", "Wait until the prediction is done; a failed one has no result."
    ),
    "upload-too-large": ProblemType(
        413, "Upload too large", "Send a smaller file, or serve with a larger --max-megabytes."
    ),
    "recording-too-long": ProblemType(
        413, "Recording too long", "Cut the recording, or serve with a larger --max-minutes."
    ),
    "not-a-form": ProblemType(
        415, "Not a form", "Send multipart/form-data with one recording in the field file."
    ),
    "invalid-request": ProblemType(
        422, "Invalid request", "Correct the parameter or field that the detail names."
    ),
    "unreadable": ProblemType(
        422, "Unreadable recording", "Convert the recording to wav, flac or mp3, and upload it."
    ),
    "queue-full": ProblemType(
        429, "Queue full", "Try again after the seconds in the header Retry-After."
    ),
    "address-limit": ProblemType(
        429, "Too many requests from one address", "Wait until earlier requests have ended."
    ),
    "live-full": ProblemType(429, "Live sessions in use", "Try again when another one has ended."),
    "internal-error": ProblemType(
        500, "Internal error", "Report it, with what the server has logged and how to repeat it."
    ),
    "shutting-down": ProblemType(503, "Shutting down", "Try again when the server has restarted."),
    "disk-full": ProblemType(
        507, "Disk full", "Free space in the server's temporary folder (TMPDIR), and upload again."
    ),
}
"""Every type of problem, by the last part of its address."""


class Problem(BaseModel):
    """Why a request or a prediction failed."""

    type: str = Field(
        description="Address that explains this kind of problem.", examples=["/problems/unreadable"]
    )
    title: str = Field(examples=["Unreadable recording"])
    status: int = Field(description="HTTP status.", examples=[422])
    detail: str = Field(description="One line for people.", examples=["the file is not audio"])


def problem(kind: str, detail: str, prefix: str = "") -> dict[str, Any]:
    """Describe an error as JSON; `prefix` is the path under which the server is reached."""
    known = PROBLEMS[kind]
    return {
        "type": f"{prefix}/problems/{kind}",
        "title": known.title,
        "status": known.status,
        "detail": detail,
    }


def problem_response(
    kind: str, detail: str, prefix: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    """Answer with an error."""
    content = problem(kind, detail, prefix)
    return JSONResponse(content, content["status"], headers, media_type=MEDIA_TYPE)


def problem_page(kind: str) -> str:
    """Explain a type of problem, as HTML.

    Raises:
        KeyError: there is no such type.
    """
    known = PROBLEMS[kind]
    title, remedy = html.escape(known.title), html.escape(known.remedy)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>HTTP status {known.status}.</p><p>{remedy}</p></html>"
    )


class ProblemError(Exception):
    """An error that answers the present request."""

    def __init__(self, kind: str, detail: str, headers: dict[str, str] | None = None):
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers


def handle_problems(app: FastAPI, prefix: str) -> None:
    """Answer every error of the app with a problem, and OPTIONS with the methods of an address."""

    @app.exception_handler(ProblemError)
    async def _problem(request: Request, error: ProblemError) -> Response:
        return problem_response(error.kind, error.detail, prefix, error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code != 405:
            return problem_response("not-found", "there is no such address", prefix)
        allow = {"Allow": ", ".join(_methods(app, request, prefix))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        detail = f"{request.method} is not allowed here"
        return problem_response("method-not-allowed", detail, prefix, allow)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        reasons = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return problem_response("invalid-request", "; ".join(reasons), prefix)

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> Response:
        return problem_response("internal-error", "internal error", prefix)


def _methods(app: FastAPI, request: Request, prefix: str) -> list[str]:
    """Return the methods that an address allows."""
    scope = {**request.scope, "root_path": prefix}  # a mounted app may have changed it
    allowed = {"OPTIONS"}
    for method in ("GET", "POST", "DELETE"):
        for route in app.routes:
            if route.matches({**scope, "method": method})[0] is Match.FULL:
                allowed |= {"GET", "HEAD"} if isinstance(route, Mount) else {method}
    return sorted(allowed | {"HEAD"} if "GET" in allowed else allowed)
