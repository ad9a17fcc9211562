"""A server in place of quadpred's, for tests that need to choose what the page receives."""

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from playwright.sync_api import Page, Route

MODEL = {"name": "english-to-english", "speech": "english", "music": "english"}
SHA256 = 64 * "0"
PER_SECOND = 50  # peaks
UPLOAD = 20  # seconds within which the page uploads a file, on a busy machine


def prediction(
    quadrant: list[list[float]],
    *,
    silent: tuple[int, ...] = (),
    uncertain: tuple[int, ...] = (),
    clip_uncertain: bool = False,
    duration: float | None = None,
    arousal: list[float] | None = None,
) -> dict[str, Any]:
    """The JSON document of a prediction with these rows."""
    rows = np.array(quadrant)
    positive = rows[:, :2].sum(1) if arousal is None else np.array(arousal)
    valence = rows[:, [0, 3]].sum(1)
    seconds = range(len(rows))
    sounding = [k for k in seconds if k not in silent] or list(seconds)
    mean = rows[sounding].mean(0)

    def binary(values: np.ndarray) -> dict[str, Any]:
        return {
            "classes": ["negative", "positive"],
            "rows": [[round(1 - value, 6), round(value, 6)] for value in values.tolist()],
        }

    def binary_mean(values: np.ndarray) -> dict[str, float]:
        value = float(values[sounding].mean())
        return {"negative": 1 - value, "positive": value}

    names = ["Q1", "Q2", "Q3", "Q4"]
    return {
        "schema": 1,
        "quadpred": "0.0.0",
        "source": "song.wav",
        "duration": float(duration or len(rows)),
        "model": {
            **MODEL,
            "sha256": SHA256,
            "transfer_setting": "",
            "caveat": "",
            "min_margin_second": 0.1,
            "min_margin_clip": 0.1,
        },
        "damage": None,
        "winner": names[int(mean.argmax())],
        "confidence": float(mean.max()),
        "uncertain": clip_uncertain,
        "means": {
            "quadrant": dict(zip(names, mean.tolist(), strict=True)),
            "arousal": binary_mean(positive),
            "valence": binary_mean(valence),
        },
        "times": list(seconds),
        "silent": [k in silent for k in seconds],
        "uncertain_seconds": [k in uncertain or k in silent for k in seconds],
        "quadrant": {"classes": names, "rows": rows.tolist()},
        "arousal": binary(positive),
        "valence": binary(valence),
    }


def peaks(seconds: float, first: float = 0.0) -> dict[str, Any]:
    """Peaks of a sound whose lowest sample is -0.25 and highest 0.75."""
    pairs = np.tile(np.array([-32, 95], np.int8), round(seconds * PER_SECOND))
    data = base64.b64encode(pairs.tobytes()).decode()
    return {"per_second": PER_SECOND, "from": round(first * PER_SECOND), "data": data}


def embeddings(rows: np.ndarray) -> dict[str, Any]:
    """Embeddings of seconds, shape (rows, width), as the server sends them."""
    scaled = np.round(rows * 127 / np.abs(rows).max(axis=1, keepdims=True)).astype(np.int8)
    return {"width": rows.shape[1], "data": base64.b64encode(scaled.tobytes()).decode()}


@dataclass
class Job:
    """An upload, and what the page will receive for it."""

    id: str
    name: str
    model: str
    content: bytes = b""
    client: str = ""
    status: str = "queued"
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def rows(
        self, document: dict[str, Any], first: int, last: int, sounds: np.ndarray | None = None
    ) -> None:
        """Send some of the rows of a prediction, with the embeddings of all its seconds."""
        part = slice(first, last)
        block = {name: document[name]["rows"][part] for name in ("quadrant", "arousal", "valence")}
        block |= {name: document[name][part] for name in ("silent", "uncertain_seconds")}
        if sounds is not None:
            block["embeddings"] = embeddings(sounds[part])
        self.status = "running"
        self.events.append(
            ("rows", {"from": first, **block, "peaks": peaks(len(block["silent"]), first)})
        )

    def progress(self, seconds: float, duration: float | None) -> None:
        """Send how far the work is."""
        self.status = "running"
        body = {"status": "running", "seconds": seconds, "duration": duration}
        self.events.append(("progress", body))

    def done(
        self,
        document: dict[str, Any],
        damage: str | None = None,
        moments: tuple[tuple[str, float, float], ...] = (),
        playback: tuple[str, ...] = (),
    ) -> None:
        """Send the end, with moments as kind, start and end."""
        self.status = "done"
        result = {
            "damage": damage,
            "moments": [dict(zip(("kind", "start", "end"), each, strict=True)) for each in moments],
            "playback": list(playback),
            "result": document,
        }
        self.events.append(("done", {**self.document(), **result}))

    def fail(self, status: int, detail: str) -> None:
        """Send that there is no prediction."""
        self.status = "failed"
        problem = {"status": status, "detail": detail}
        self.events.append(("failed", {**self.document(), "error": problem}))

    def document(self) -> dict[str, Any]:
        progress = {"seconds": 0.0, "duration": None}
        empty = {"damage": None, "error": None, "moments": None, "playback": None, "result": None}
        return {"id": self.id, "status": self.status, "progress": progress, **empty}


class StubServer:
    """Answers uploads and the event stream of a page, which it opens.

    Attributes:
        jobs: uploads by the name of their file and the name of their model.
        answers: by the name of a file, the prediction that its uploads have at once.
        sounds: by the name of a file, the embeddings of its seconds.
        sha256: of every model.
    """

    def __init__(self, page: Page, answers: dict[str, dict[str, Any]] | None = None):
        self._page = page
        self.jobs: dict[tuple[str, str], Job] = {}
        self.answers = answers or {}
        self.sounds: dict[str, np.ndarray] = {}
        self.sha256 = SHA256
        self._offer: dict[str, Any] | None = None
        self.uploads = 0
        page.context.route(re.compile(r"/v1/predictions\?"), self._upload)
        page.context.route("**/v1/predictions/*", lambda route: route.fulfill(status=204))
        page.context.route(re.compile(r"/v1/events\?"), self._events)
        page.context.route("**/v1/models", self._models)
        visit(page)

    def job(self, name: str, model: str = MODEL["name"]) -> Job:
        """Wait for an upload of this file for this model; return the last one."""
        end = monotonic() + UPLOAD
        while (name, model) not in self.jobs:
            assert monotonic() < end, f"{name} was not uploaded for {model}: {list(self.jobs)}"
            self._page.wait_for_timeout(10)  # which also answers requests
        return self.jobs[name, model]

    def forget(self) -> None:
        """Forget all jobs, as a server does that is started again."""
        self.jobs.clear()

    def _upload(self, route: Route) -> None:
        body = route.request.post_data_buffer or b""
        found = re.search(rb'filename="(.*?)"', body)
        assert found
        name = found[1].decode()
        query = dict(re.findall(r"(speech|music|client)=(\w+)", route.request.url))
        model = f"{query['speech']}-to-{query['music']}"
        self.uploads += 1
        job = Job(f"job{self.uploads}", name, model, body, query["client"])
        self.jobs[name, model] = job
        if name in self.answers:
            answer = self.answers[name]
            job.rows(answer, 0, len(answer["silent"]), self.sounds.get(name))
            job.done(answer)
        route.fulfill(status=202, json=job.document())

    def _models(self, route: Route) -> None:
        self._offer = self._offer or route.fetch().json()
        for model in self._offer["models"]:
            model["sha256"] = self.sha256
        route.fulfill(json=self._offer)

    def _events(self, route: Route) -> None:
        jobs = self.jobs.values()
        lines = ["retry: 200", ""]
        events = [("jobs", {"jobs": [job.document() for job in jobs]})]
        events += [(kind, {"job": job.id, **data}) for job in jobs for kind, data in job.events]
        for kind, data in events:
            lines += [f"event: {kind}", f"data: {json.dumps(data)}", ""]
        route.fulfill(content_type="text/event-stream", body="\n".join([*lines, ""]))


def download(page: Page, title: str, *, raw: bool = False) -> Any:
    """Save the shown song in a form; return the content, JSON as its values."""
    page.locator("#downloads summary").click()
    with page.expect_download() as saved:
        page.locator("#download-list").get_by_role("button", name=title, exact=True).click()
    page.locator("#downloads summary").click()
    content = Path(saved.value.path()).read_bytes()
    return content if raw else json.loads(content)


SAVED = """() => new Promise((answer) => {
    const opening = indexedDB.open("quadpred");
    opening.onsuccess = () => {
        const database = opening.result;
        const transaction = database.transaction([...database.objectStoreNames], "readwrite");
        transaction.oncomplete = () => {
            database.close();
            answer();
        };
    };
})"""


def saved(page: Page) -> None:
    """Wait until the browser has stored what the page shows.

    Transactions that write to the same store run one after the other.
    """
    page.evaluate(SAVED)


def reload(page: Page) -> None:
    """Reload the page once all that it shows is stored, and wait until it takes songs."""
    saved(page)
    page.reload()
    ready(page)


CALLS_OF_ABS = """(act) => {
    const {abs} = Math;
    let calls = 0;
    Math.abs = (value) => { calls += 1; return abs(value); };
    act();
    Math.abs = abs;
    return calls;
}"""  # JavaScript: how much an act compares, whatever the machine does beside it


def visit(page: Page) -> None:
    """Load the page and wait until it takes songs."""
    page.goto("./")
    ready(page)


def ready(page: Page) -> None:
    """Wait until the page takes songs."""
    page.locator("body.ready").wait_for()
