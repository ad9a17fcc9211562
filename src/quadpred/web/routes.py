"""The routes of the API and of the page."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from quadpred import __version__, registry
from quadpred.formats.rows import write_csv
from quadpred.labels import HEADS
from quadpred.prediction import ModelInfo, Prediction
from quadpred.web.jobs import Job, Jobs
from quadpred.web.problems import PROBLEMS, ProblemError, problem_page
from quadpred.web.schemas import (
    UPLOAD,
    Health,
    JobDocument,
    Models,
    PredictionDocument,
    content,
    header,
    problems,
)
from quadpred.web.uploads import Uploads

__all__ = ["STATIC", "router"]

Speech = Literal["english", "mandarin", "mixed", "e", "m", "x"]
Music = Literal["english", "mandarin", "e", "m"]

STATIC = Path(__file__).parent / "static"
_JOB = "/v1/predictions/{id}"
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")
_MAX_WAIT = 600  # seconds
_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,9})\b")  # RFC 7240, section 4.3
_CLIENT = r"^[A-Za-z0-9_-]{16,64}$"

_CSV = """\
second,Q1,Q2,Q3,Q4,arousal,valence,uncertain,silent
0,0.1,0.7,0.15,0.05,0.8,0.15,false,false
"""
_EVENTS = """\
retry: 2000

id: 5f0c2d1e-0
event: rows
data: {"job": "9pYb1mBvY2GkqOQ0eM0g3w", "from": 0, "quadrant": [[0.1, 0.7, 0.15, 0.05]], \
"arousal": [[0.2, 0.8]], "valence": [[0.85, 0.15]], "silent": [false], \
"uncertain_seconds": [false], "peaks": {"per_second": 50, "from": 0, "data": "gX8="}}

id: 5f0c2d1e-1
event: progress
data: {"job": "9pYb1mBvY2GkqOQ0eM0g3w", "status": "running", "seconds": 1.0, "duration": 1.0}

id: 5f0c2d1e-2
event: done
data: {"job": "9pYb1mBvY2GkqOQ0eM0g3w", "status": "done", "result": {}}
"""
_LOCATION = header("Location", "Address of the prediction.", "/v1/predictions/ID")
_DISPOSITION = header(
    "Content-Disposition", "Name of the file.", 'attachment; filename="song.json"'
)
_LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Send the events after this one.")
]

router = APIRouter()


async def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads


async def _job(id: str, jobs: Annotated[Jobs, Depends(_jobs)]) -> Job:
    return jobs.get(id)


async def _result(job: Annotated[Job, Depends(_job)]) -> Job:
    """Return a job that has a result."""
    if job.error:
        raise ProblemError("no-result", f"the prediction failed: {job.error['detail']}")
    if job.result is None:
        raise ProblemError("no-result", "the prediction is not finished")
    return job


JobsOf = Annotated[Jobs, Depends(_jobs)]
UploadsOf = Annotated[Uploads, Depends(_uploads)]
KnownJob = Annotated[Job, Depends(_job)]
FinishedJob = Annotated[Job, Depends(_result)]


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """Return the page."""
    index = STATIC / "index.html"
    if index.is_file():
        return FileResponse(index)
    return HTMLResponse("<!doctype html><title>quadpred</title><p>The API is at v1/models.")


@router.get("/problems/{kind}", include_in_schema=False)
async def explain_problem(kind: str) -> Response:
    """Explain a type of problem."""
    if kind not in PROBLEMS:
        raise ProblemError("not-found", "unknown type of problem")
    return HTMLResponse(problem_page(kind))


@router.get("/healthz", response_model=Health, responses=problems(token=False))
async def health() -> dict[str, str]:
    """Tell whether the server answers. This address never needs the token."""
    return {"status": "ok", "version": __version__}


@router.get("/v1/models", response_model=Models, responses=problems())
async def list_models(jobs: JobsOf) -> dict[str, Any]:
    """Return the models, their outputs, and the limits of this server."""
    limits = jobs.limits
    return {
        "quadpred": __version__,
        "models": [_model(model) for model in registry.models()],
        "heads": [vars(head) for head in HEADS],
        "limits": {"bytes": limits.bytes, "seconds": limits.seconds},
    }


def _model(model: registry.Model) -> dict[str, Any]:
    info = ModelInfo(model.name, model.speech, model.music, model.sha256)
    return {
        "name": model.name,
        "speech": model.speech,
        "music": model.music,
        "transfer_setting": info.transfer_setting,
        "experimental": model.experimental,
        "sha256": model.sha256,
        "scores": list(model.scores),
    }


@router.get(
    "/v1/models/{name}/card",
    response_class=Response,
    responses={
        200: content("text/markdown", "The model card.", "# english-to-english\n"),
        **problems("unknown-model"),
    },
)
async def get_model_card(name: str) -> Response:
    """Return the card of a model: its training data, scores and limits."""
    for model in registry.models():
        if model.name == name:
            return FileResponse(model.card, media_type="text/markdown; charset=utf-8")
    raise ProblemError("unknown-model", "no such model")


@router.post(
    "/v1/predictions",
    status_code=202,
    response_model=JobDocument,
    response_description="Waiting or running; ask again at the `Location`.",
    responses={
        200: {
            "model": JobDocument,
            "description": "Done or failed within the time of `Prefer`.",
            "headers": {
                **_LOCATION,
                **header("Preference-Applied", "The time that was granted.", "wait=60"),
            },
        },
        202: {"headers": _LOCATION},
        **problems(
            "bad-form",
            "cross-site",
            "upload-timeout",
            "upload-too-large",
            "not-a-form",
            "invalid-request",
            "queue-full",
            "address-limit",
            "shutting-down",
            "disk-full",
        ),
    },
    openapi_extra=UPLOAD,
)
async def create_prediction(
    request: Request,
    jobs: JobsOf,
    uploads: UploadsOf,
    speech: Annotated[Speech, Query(description="Speech of the pre-training.")] = "english",
    music: Annotated[Music, Query(description="Music of the fine-tuning.")] = "english",
    client: Annotated[
        str | None,
        Query(pattern=_CLIENT, description="A random name; `/v1/events` follows all its jobs."),
    ] = None,
    embeddings: Annotated[
        bool, Query(description="Whether the events `rows` carry embeddings.")
    ] = False,
    prefer: Annotated[
        str | None,
        Header(description="`wait=SECONDS` to wait for the end (RFC 7240).", examples=["wait=60"]),
    ] = None,
) -> Response:
    """Predict a recording."""
    address = request.client.host if request.client else ""
    with jobs.place(address):
        path, source = await jobs.unless_closing(uploads.receive(request, jobs.limits))
        job = Job(
            path,
            source,
            speech,
            music,
            address=address,
            prefix=jobs.prefix,
            embeddings=embeddings,
            client=jobs.client(client) if client else None,
        )
        jobs.submit(job)
    headers = {"Location": f"{jobs.prefix}/v1/predictions/{job.id}"}
    wait = _WAIT.search(prefer or "")
    if wait:
        headers["Preference-Applied"] = f"wait={wait[1]}"
        seconds = min(int(wait[1]), _MAX_WAIT)
        if await jobs.unless_closing(_client_left(request, job, seconds)):
            jobs.drop(job)
    return _json(job.document(), 200 if wait and job.ended else 202, headers)


@router.get(
    "/v1/events",
    response_class=Response,
    responses={
        200: content("text/event-stream", "Events.", _EVENTS),
        **problems("invalid-request"),
    },
)
async def follow_predictions(
    jobs: JobsOf,
    client: Annotated[str, Query(pattern=_CLIENT, description="The name sent with uploads.")],
    after: Annotated[str | None, Query(description="As Last-Event-ID.")] = None,
    last_event_id: _LastEventId = None,
) -> Response:
    """Follow all predictions of a client, present and future."""
    return _stream(jobs.follow(client, last_event_id or after))


@router.get(_JOB, response_model=JobDocument, responses=problems("unknown-prediction"))
async def get_prediction(job: KnownJob) -> Response:
    """Return the state of a prediction, and its result when it is done."""
    return _json(job.document())


@router.delete(_JOB, status_code=204, responses=problems("unknown-prediction", "cross-site"))
async def delete_prediction(job: KnownJob, jobs: JobsOf) -> Response:
    """End the work, and forget the prediction."""
    jobs.drop(job)
    return Response(status_code=204)


@router.get(
    f"{_JOB}/events",
    response_class=Response,
    responses={
        200: content("text/event-stream", "Events.", _EVENTS),
        **problems("unknown-prediction"),
    },
)
async def follow_prediction(job: KnownJob, last_event_id: _LastEventId = None) -> Response:
    """Follow one prediction: its rows from the first one on, and the job at the end."""
    return _stream(job.log.follow(last_event_id))


@router.get(
    f"{_JOB}/prediction.json",
    response_model=PredictionDocument,
    responses={
        200: {"headers": _DISPOSITION},
        **problems("unknown-prediction", "no-result"),
    },
)
async def download_json(job: FinishedJob) -> Response:
    """Download the result."""
    return _download(job.result or b"", job, ".json", "application/json")


@router.get(
    f"{_JOB}/rows.csv",
    response_class=Response,
    responses={
        200: {**content("text/csv", "One row per second.", _CSV), "headers": _DISPOSITION},
        **problems("unknown-prediction", "no-result"),
    },
)
async def download_csv(job: FinishedJob) -> Response:
    """Download the rows as a table."""
    table = await asyncio.to_thread(_table, job.result or b"")
    return _download(table, job, ".csv", "text/csv; charset=utf-8")


@router.get(
    f"{_JOB}/taggram.png",
    response_class=Response,
    responses={
        200: {**content("image/png", "The tag-gram."), "headers": _DISPOSITION},
        **problems("unknown-prediction", "no-result", "queue-full", "shutting-down"),
    },
)
async def download_taggram(job: FinishedJob, jobs: JobsOf) -> Response:
    """Download the tag-gram as an image."""
    picture = await jobs.unless_closing(jobs.picture(job))
    return _download(picture, job, ".png", "image/png")


async def _client_left(request: Request, job: Job, seconds: int) -> bool:
    """Wait until the job has ended or the time is over; return whether the client left before."""
    ended, left = asyncio.create_task(job.wait()), asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait([ended, left], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return left.done() and not ended.done()
    finally:
        ended.cancel()
        left.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")


def _stream(events: AsyncIterator[bytes]) -> Response:
    # nginx would otherwise hold events back until its buffer is full.
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


def _download(content: bytes, job: Job, suffix: str, kind: str) -> Response:
    name = PurePosixPath(job.source).stem + suffix
    ascii_name = _UNSAFE.sub("_", name)  # for clients without RFC 6266
    disposition = f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name)}"
    return Response(content, headers={"Content-Disposition": disposition}, media_type=kind)


def _table(result: bytes) -> bytes:
    """Return the rows of a result as CSV."""
    table = io.BytesIO()
    write_csv(Prediction.from_dict(json.loads(result)), table)
    return table.getvalue()
