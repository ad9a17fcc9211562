"""The server: routes, and what they answer."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import FastAPI, Header, Request
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware

from quadpred import __version__, registry
from quadpred.labels import HEADS
from quadpred.prediction import Origin
from quadpred.web.jobs import Job, Jobs
from quadpred.web.limits import Limits
from quadpred.web.live import live
from quadpred.web.problems import ProblemError, handle_problems, problem_response, responses
from quadpred.web.security import Access, Guard
from quadpred.web.uploads import Uploads

__all__ = ["create_app"]

Speech = Literal["english", "mandarin", "mixed", "e", "m", "x"]
Music = Literal["english", "mandarin", "e", "m"]

_STATIC = Path(__file__).parent / "static"
_NO_PAGE = "<!doctype html><title>quadpred</title><p>The page is missing; the API is at /v1."
_LONGEST_WAIT = 600  # seconds
_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,9})\b")  # RFC 7240, section 4.3


def create_app(access: Access, limits: Limits, workers: int) -> FastAPI:
    """Make the application; it starts its workers when it is served."""
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
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(Guard, access=access)],
    )
    handle_problems(app)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        index = _STATIC / "index.html"
        return FileResponse(index) if index.is_file() else HTMLResponse(_NO_PAGE)

    if _STATIC.is_dir():
        app.mount("/static", StaticFiles(directory=_STATIC))

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {
            "models": [_described(model) for model in registry.models()],
            "heads": [
                {
                    "name": head.name,
                    "classes": head.classes,
                    "titles": head.titles,
                    "colours": head.colours,
                }
                for head in HEADS
            ],
            "limits": {
                "bytes": limits.bytes,
                "seconds": limits.seconds,
                "files": limits.queue,
            },
        }

    @app.post("/v1/predictions", status_code=202)
    async def predict(
        request: Request,
        speech: Speech = "english",
        music: Music = "english",
        prefer: Annotated[str | None, Header()] = None,
    ) -> Response:
        with jobs.place():
            path, source = await app.state.uploads.receive(request, limits)
            job = Job(path, source, speech, music)
            jobs.submit(job)
        where = {"Location": f"/v1/predictions/{job.id}"}
        wait = _WAIT.search(prefer or "")
        if wait:
            await _finished(request, job, min(int(wait[1]), _LONGEST_WAIT))
            if job.ended is None and await request.is_disconnected():
                jobs.drop(job)
            if job.error:
                return problem_response(job.error["status"], job.error["detail"], where)
            where["Preference-Applied"] = f"wait={wait[1]}"
        return _json(job.document(), 200 if job.ended else 202, where)

    @app.get("/v1/predictions/{name}")
    async def get(name: str) -> Response:
        return _json(jobs.get(name).document())

    @app.delete("/v1/predictions/{name}", status_code=204)
    async def forget(name: str) -> Response:
        jobs.drop(jobs.get(name))
        return Response(status_code=204)

    @app.get("/v1/predictions/{name}/events")
    async def events(name: str) -> Response:
        return StreamingResponse(jobs.get(name).listen(), media_type="text/event-stream")

    @app.get("/v1/predictions/{name}/prediction.json")
    async def as_json(name: str) -> Response:
        job = _done(jobs.get(name))
        return _download(job.result or b"", job, ".json", "application/json")

    @app.get("/v1/predictions/{name}/rows.csv")
    async def as_csv(name: str) -> Response:
        job = _done(jobs.get(name))
        table = await asyncio.to_thread(_table, job.result or b"")
        return _download(table, job, ".csv", "text/csv; charset=utf-8")

    @app.get("/v1/predictions/{name}/taggram.png")
    async def as_png(name: str) -> Response:
        job = _done(jobs.get(name))
        return _download(await jobs.picture(job), job, ".png", "image/png")

    app.add_api_websocket_route("/v1/live", live(limits))
    return app


def _described(model: registry.Model) -> dict[str, Any]:
    origin = Origin(model.name, model.speech, model.music, model.sha256)
    return {
        "name": model.name,
        "speech": model.speech,
        "music": model.music,
        "case": origin.case,
        "experimental": model.experimental,
    }


async def _finished(request: Request, job: Job, seconds: int) -> None:
    """Wait until the job has ended, the client has gone, or the time is over."""
    with job.attended():
        ends = [asyncio.create_task(job.finished()), asyncio.create_task(_gone(request))]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()


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
    name = quote(PurePosixPath(job.source).stem + suffix)
    disposition = f"attachment; filename=\"prediction{suffix}\"; filename*=UTF-8''{name}"
    return Response(content, headers={"Content-Disposition": disposition}, media_type=kind)


def _table(result: bytes) -> bytes:
    """Return rows as CSV, one a second."""
    prediction = json.loads(result)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["second", "Q1", "Q2", "Q3", "Q4", "arousal", "valence", "silent", "uncertain"])
    columns = (prediction[head.name]["rows"] for head in HEADS)
    flags = prediction["silent"], prediction["uncertain"]
    for second, (quadrant, arousal, valence, silent, uncertain) in enumerate(
        zip(*columns, *flags, strict=True)
    ):
        table.writerow([second, *quadrant, arousal[1], valence[1], int(silent), int(uncertain)])
    return text.getvalue().encode()
