"""The server: routes, and what they answer."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from quadpred import __version__, registry
from quadpred.formats.rows import write_csv
from quadpred.labels import HEADS
from quadpred.prediction import ModelInfo, Prediction
from quadpred.web.jobs import Job, Jobs
from quadpred.web.limits import Limits
from quadpred.web.live import live
from quadpred.web.problems import ProblemError, handle_problems, problem_response
from quadpred.web.schemas import (
    UPLOAD,
    Health,
    JobDocument,
    Models,
    PredictionDocument,
    content,
    problems,
)
from quadpred.web.uploads import Uploads

__all__ = ["create_app"]

Speech = Literal["english", "mandarin", "mixed", "e", "m", "x"]
Music = Literal["english", "mandarin", "e", "m"]

_STATIC = Path(__file__).parent / "static"
_NO_PAGE = "<!doctype html><title>quadpred</title><p>The page is missing; the API is at /v1."
_ONE = "/v1/predictions/{id}"
_UNUSUAL = re.compile(r"[^A-Za-z0-9._ -]")
_LONGEST_WAIT = 600  # seconds
_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,9})\b")  # RFC 7240, section 4.3


_CSV = """\
second,Q1,Q2,Q3,Q4,arousal,valence,uncertain,silent
0,0.1,0.7,0.15,0.05,0.8,0.15,false,false
"""
_EVENTS = """\
event: rows
data: {"from": 0, "quadrant": [[0.1, 0.7, 0.15, 0.05]], "arousal": [[0.2, 0.8]], \
"valence": [[0.85, 0.15]], "silent": [false], "uncertain_seconds": [false]}

event: progress
data: {"seconds": 1.0, "duration": 1.0}

event: done
data: {"id": "9pYb1mBvY2GkqOQ0eM0g3w", "status": "done", "result": {}}
"""
_ABOUT = """\
Send a recording to `POST /v1/predictions`. With `Prefer: wait=60` the answer is the result, if it
takes no longer; without, follow the `Location`, or its `/events` for rows as they are computed.

Live audio goes over a WebSocket, `/v1/live?speech=english&music=english`: the text
`{"sample_rate": 48000}` first, then binary messages of mono float32 samples (little-endian), then
the text `{"stop": true}`. The server sends a message a second, as the event `rows`, and at the end
`{"done": …}` with the whole, or `{"error": …}`.
"""


def create_app(limits: Limits, workers: int) -> FastAPI:
    """Make the application, to be served behind a `Guard`; its workers start when it is served."""
    jobs = Jobs(limits, workers)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.uploads = Uploads()
        try:
            await jobs.start()
            yield
        finally:
            await jobs.close()
            app.state.uploads.close()

    app = FastAPI(
        title="quadpred",
        version=__version__,
        summary="Second by second, the emotion perceived in music.",
        description=_ABOUT,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    handle_problems(app)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        index = _STATIC / "index.html"
        return FileResponse(index) if index.is_file() else HTMLResponse(_NO_PAGE)

    if _STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=_STATIC))

    @app.get("/healthz", response_model=Health)
    async def health() -> dict[str, str]:
        """Whether the server answers; never needs the token."""
        return {"status": "ok", "version": __version__}

    @app.get("/v1/models", response_model=Models, responses=problems())
    async def models() -> dict[str, Any]:
        """The models on board, what they predict, and the limits of this server."""
        return _on_board(limits)

    @app.post(
        "/v1/predictions",
        status_code=202,
        response_model=JobDocument,
        response_description="Waiting or running; ask at the `Location`.",
        responses={
            200: {"model": JobDocument, "description": "Finished in the time of `Prefer`."},
            **problems(400, 408, 413, 415, 422, 429),
        },
        openapi_extra=UPLOAD,
    )
    async def predict(
        request: Request,
        speech: Annotated[Speech, Query(description="Speech the model learned from.")] = "english",
        music: Annotated[Music, Query(description="Music the model learned from.")] = "english",
        prefer: Annotated[
            str | None,
            Header(
                description="`wait=SECONDS` for the result itself (RFC 7240).", examples=["wait=60"]
            ),
        ] = None,
    ) -> Response:
        """Predict a recording."""
        with jobs.place():
            path, source = await app.state.uploads.receive(request, limits)
            job = Job(path, source, speech, music)
            jobs.submit(job)
        where = {"Location": f"/v1/predictions/{job.id}"}
        wait = _WAIT.search(prefer or "")
        if wait:
            where["Preference-Applied"] = f"wait={wait[1]}"
            if await _abandoned(request, job, min(int(wait[1]), _LONGEST_WAIT)):
                jobs.drop(job)
            if job.error:
                return problem_response(job.error["status"], job.error["detail"], where)
        return _json(job.document(), 200 if wait and job.ended else 202, where)

    @app.get(_ONE, response_model=JobDocument, responses=problems(404))
    async def get(id: str) -> Response:
        """How far a prediction is, and its result when it is done."""
        return _json(jobs.get(id).document())

    @app.delete(_ONE, status_code=204, responses=problems(404))
    async def forget(id: str) -> Response:
        """End the work, and forget the prediction."""
        jobs.drop(jobs.get(id))
        return Response(status_code=204)

    @app.get(
        f"{_ONE}/events",
        response_class=Response,
        responses={200: content("text/event-stream", "Events.", _EVENTS), **problems(404)},
    )
    async def events(id: str) -> Response:
        """Rows as they are computed, from the first, and the job or the problem at the end."""
        return StreamingResponse(jobs.get(id).listen(), media_type="text/event-stream")

    @app.get(
        f"{_ONE}/prediction.json",
        response_model=PredictionDocument,
        responses=problems(404, 409, 413, 422),
    )
    async def as_json(id: str) -> Response:
        """The result as a file."""
        job = _done(jobs.get(id))
        return _download(job.result or b"", job, ".json", "application/json")

    @app.get(
        f"{_ONE}/rows.csv",
        response_class=Response,
        responses={
            200: content("text/csv", "A row a second.", _CSV),
            **problems(404, 409, 413, 422),
        },
    )
    async def as_csv(id: str) -> Response:
        """The rows as a table."""
        job = _done(jobs.get(id))
        table = await asyncio.to_thread(_table, job.result or b"")
        return _download(table, job, ".csv", "text/csv; charset=utf-8")

    @app.get(
        f"{_ONE}/taggram.png",
        response_class=Response,
        responses={200: content("image/png", "The tag-gram."), **problems(404, 409, 413, 422, 429)},
    )
    async def as_png(id: str) -> Response:
        """The tag-gram as a picture."""
        job = _done(jobs.get(id))
        return _download(await jobs.picture(job), job, ".png", "image/png")

    app.add_api_websocket_route("/v1/live", live(limits))
    return app


def _on_board(limits: Limits) -> dict[str, Any]:
    return {
        "models": [_described(model) for model in registry.models()],
        "heads": [vars(head) for head in HEADS],
        "limits": {"bytes": limits.bytes, "seconds": limits.seconds, "files": limits.queue},
    }


def _described(model: registry.Model) -> dict[str, Any]:
    info = ModelInfo(model.name, model.speech, model.music, model.sha256)
    return {
        "name": model.name,
        "speech": model.speech,
        "music": model.music,
        "transfer_setting": info.transfer_setting,
        "experimental": model.experimental,
    }


async def _abandoned(request: Request, job: Job, seconds: int) -> bool:
    """Wait until the job has ended or the time is over; tell whether the client left before."""
    with job.attended():
        end, gone = asyncio.create_task(job.finished()), asyncio.create_task(_gone(request))
        await asyncio.wait([end, gone], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        left = gone.done() and not end.done()
        end.cancel()
        gone.cancel()
        return left


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _done(job: Job) -> Job:
    if job.error:
        raise ProblemError(job.error["status"], job.error["detail"])
    if job.result is None:
        raise ProblemError(409, "the prediction is not finished")
    return job


def _json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")


def _download(content: bytes, job: Job, suffix: str, kind: str) -> Response:
    name = PurePosixPath(job.source).stem + suffix
    plain = _UNUSUAL.sub("_", name)  # for clients that do not know RFC 6266
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(content, headers={"Content-Disposition": disposition}, media_type=kind)


def _table(result: bytes) -> bytes:
    """Return the rows of a prediction as CSV."""
    file = io.BytesIO()
    write_csv(Prediction.from_dict(json.loads(result)), file)
    return file.getvalue()
