"""The OpenAPI document: what requests and answers look like. Other modules build the answers."""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from quadpred.web.problems import MEDIA_TYPE, PROBLEMS, Problem, problem

__all__ = [
    "UPLOAD",
    "Health",
    "JobDocument",
    "Models",
    "PredictionDocument",
    "content",
    "header",
    "openapi",
    "problems",
]

_ID = "9pYb1mBvY2GkqOQ0eM0g3w"
_MODEL = {
    "name": "english-to-english",
    "speech": "english",
    "music": "english",
    "transfer_setting": "intra-linguistic",
}
_ROWS: dict[str, Any] = {
    "quadrant": [[0.1, 0.7, 0.15, 0.05], [0.2, 0.6, 0.1, 0.1]],
    "arousal": [[0.2, 0.8], [0.3, 0.7]],
    "valence": [[0.85, 0.15], [0.7, 0.3]],
}
_RESULT: dict[str, Any] = {
    "schema": 1,
    "quadpred": "0.1.0",
    "source": "song.mp3",
    "duration": 2.1,
    "damage": None,
    "model": {
        **_MODEL,
        "sha256": 64 * "0",
        "caveat": "",
        "min_margin_second": 0.1,
        "min_margin_clip": 0.08,
    },
    "winner": "Q2",
    "confidence": 0.65,
    "uncertain": False,
    "means": {
        "quadrant": {"Q1": 0.15, "Q2": 0.65, "Q3": 0.125, "Q4": 0.075},
        "arousal": {"negative": 0.25, "positive": 0.75},
        "valence": {"negative": 0.775, "positive": 0.225},
    },
    "times": [0.0, 1.0],
    "silent": [False, False],
    "uncertain_seconds": [False, False],
    "quadrant": {"classes": ["Q1", "Q2", "Q3", "Q4"], "rows": _ROWS["quadrant"]},
    "arousal": {"classes": ["negative", "positive"], "rows": _ROWS["arousal"]},
    "valence": {"classes": ["negative", "positive"], "rows": _ROWS["valence"]},
}
_JOB: dict[str, Any] = {
    "id": _ID,
    "status": "done",
    "source": "song.mp3",
    "progress": {"seconds": 2.1, "duration": 2.1},
    "damage": None,
    "error": None,
    "moments": [
        {
            "kind": "segment",
            "label": "",
            "start": 0.0,
            "end": 2.1,
            "quadrant": "Q2",
            "mood": "tense",
            "arousal": 0.75,
            "valence": 0.225,
            "confidence": 0.65,
            "uncertain": False,
        }
    ],
    "playback": [],
    "result": _RESULT,
}
_MODELS: dict[str, Any] = {
    "quadpred": "0.1.0",
    "models": [{**_MODEL, "experimental": False, "sha256": 64 * "0", "scores": []}],
    "heads": [
        {
            "name": "arousal",
            "classes": ["negative", "positive"],
            "titles": ["Negative arousal", "Positive arousal"],
            "colours": ["#b8b8b8", "#555555"],
        }
    ],
    "limits": {"bytes": 200_000_000, "seconds": 3600},
}
_DETAILS = {
    "bad-form": "the form is not complete",
    "token-needed": "token needed; send Authorization: Bearer TOKEN",
    "unknown-host": "unknown Host header",
    "cross-site": "cross-site request refused",
    "not-found": "unknown type of problem",
    "unknown-model": "no such model",
    "unknown-prediction": "no such prediction, or it has expired",
    "upload-timeout": "no data for 30 seconds",
    "no-result": "the prediction is not finished",
    "upload-too-large": "larger than 200000000 bytes",
    "not-a-form": "send a form (multipart/form-data) with the recording in the field file",
    "invalid-request": "the recording is empty",
    "queue-full": "queue full (16); retry later",
    "address-limit": "8 recordings of this address are waiting; retry later",
    "shutting-down": "the server is shutting down",
    "disk-full": "the server's disk is full",
}

UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "minLength": 1,
                            "description": "One recording, in any format.",
                        }
                    },
                },
            }
        },
    }
}
"""The form of an upload, which FastAPI would read into memory or a folder of its own."""


class Health(BaseModel):
    """The state of the server, and its version."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok", "version": "0.1.0"}})

    status: Literal["ok"]
    version: str


class Score(BaseModel):
    """How accurate a model is on one test set: its quadrants of whole recordings."""

    music: str = Field(description="The test set.", examples=["English music, five folds"])
    clips: int
    accuracy: float
    f1: float = Field(description="Macro F1.")
    f1_low: float = Field(description="Lower end of its 95 % interval.")
    f1_high: float = Field(description="Upper end of its 95 % interval.")


class Model(BaseModel):
    """A model that the server can use."""

    name: str
    speech: str
    music: str
    transfer_setting: str
    experimental: bool
    sha256: str
    scores: list[Score]


class Head(BaseModel):
    """An output of the models: a distribution over classes."""

    name: str
    classes: list[str]
    titles: list[str]
    colours: list[str]


class UploadLimits(BaseModel):
    """What the server accepts."""

    bytes: int = Field(description="Largest upload.")
    seconds: float = Field(description="Longest recording.")


class Models(BaseModel):
    """The models, their outputs, and the limits of the server."""

    model_config = ConfigDict(json_schema_extra={"example": _MODELS})

    quadpred: str = Field(description="Version of the server.")
    models: list[Model]
    heads: list[Head]
    limits: UploadLimits


class Progress(BaseModel):
    """Seconds decoded, and the length that the file's header states, if it does."""

    seconds: float
    duration: float | None


class ModelInfo(BaseModel):
    """The model that made a prediction."""

    name: str
    sha256: str
    speech: str
    music: str
    transfer_setting: str
    caveat: str
    min_margin_second: float
    min_margin_clip: float


class Rows(BaseModel):
    """Probabilities of the classes, one row per second."""

    classes: list[str]
    rows: list[list[float]]


class PredictionDocument(BaseModel):
    """Perceived emotion, second by second; the same as `quadpred predict --json` writes."""

    model_config = ConfigDict(json_schema_extra={"example": _RESULT})

    number: int = Field(alias="schema")
    quadpred: str
    source: str
    duration: float
    damage: str | None = Field(description="What of the recording is damaged or missing.")
    model: ModelInfo
    winner: Literal["Q1", "Q2", "Q3", "Q4"]
    confidence: float
    uncertain: bool
    means: dict[str, dict[str, float]]
    times: list[float]
    silent: list[bool]
    uncertain_seconds: list[bool]
    quadrant: Rows
    arousal: Rows
    valence: Rows


class MomentDocument(BaseModel):
    """A part of a recording, and its means; the same as `quadpred moments` writes."""

    kind: Literal["segment", "highest arousal", "lowest arousal", "happiest", "calmest"]
    label: str
    start: float = Field(description="In seconds.")
    end: float = Field(description="In seconds.")
    quadrant: Literal["Q1", "Q2", "Q3", "Q4"]
    mood: str
    arousal: float
    valence: float
    confidence: float
    uncertain: bool


class JobDocument(BaseModel):
    """An upload and its prediction."""

    model_config = ConfigDict(json_schema_extra={"example": _JOB})

    id: str
    status: Literal["queued", "running", "done", "failed"]
    source: str
    progress: Progress
    damage: str | None = Field(description="What of the recording is damaged or missing.")
    error: Problem | None = Field(description="Why the prediction failed.")
    moments: list[MomentDocument] | None = Field(
        description="Segments of one quadrant each, then highlights of 30 s."
    )
    playback: list[Literal["tracks", "late", "header", "variable"]] | None = Field(
        description="What makes a browser play another second or track than was predicted."
    )
    result: PredictionDocument | None


def problems(*kinds: str, token: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route by status; every route may refuse the host, and the token."""
    described: dict[int | str, dict[str, Any]] = {}
    for kind in (*(["token-needed"] if token else []), "unknown-host", *kinds):
        known = PROBLEMS[kind]
        answer = described.setdefault(
            known.status,
            {
                "description": known.title,
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        answer["content"][MEDIA_TYPE]["examples"][kind] = {"value": problem(kind, _DETAILS[kind])}
        if known.status in (429, 503):
            answer["headers"] = header("Retry-After", "Seconds after which to try again.", "5")
        if known.status == 401:
            answer["headers"] = header("WWW-Authenticate", "How to send the token.", "Bearer")
    return described


def content(kind: str, description: str, example: str | None = None) -> dict[str, Any]:
    """Describe an answer that is not JSON."""
    schema = {"type": "string"} if example else {"type": "string", "format": "binary"}
    described: dict[str, Any] = {"schema": schema}
    if example:
        described["example"] = example
    return {"description": description, "content": {kind: described}}


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Describe a header of an answer."""
    schema = {"type": "string"}
    return {name: {"description": description, "schema": schema, "example": example}}


def openapi(app: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document of an app, with its security schemes."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI adds it to every route with a parameter, also where any text is valid.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    schemas = document["components"]["schemas"]
    for unused in "HTTPValidationError", "ValidationError":
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The token of the server."},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "quadpred"},
    }
    # A server without a token answers everybody whom its address reaches.
    document["security"] = [{}, {"bearer": []}, {"cookie": []}]
    document["paths"]["/healthz"]["get"]["security"] = []
    return document
