"""What the answers look like, for the OpenAPI document; they are built elsewhere."""

from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quadpred.web.problems import MEDIA_TYPE, Problem, problem

__all__ = ["UPLOAD", "Health", "JobDocument", "Models", "PredictionDocument", "content", "problems"]

_ID = "9pYb1mBvY2GkqOQ0eM0g3w"
_MODEL = {
    "name": "english-to-english",
    "speech": "english",
    "music": "english",
    "transfer_setting": "intra-linguistic",
}
_MARGINS = {"min_margin_second": 0.11, "min_margin_clip": 0.12}
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
    "model": {**_MODEL, "sha256": 64 * "0", "caveat": "", **_MARGINS},
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
    "warning": None,
    "error": None,
    "result": _RESULT,
}
_PROBLEMS = {
    400: "the form is not complete",
    401: "a token is needed: Authorization: Bearer TOKEN",
    403: "a page of another site may not ask this",
    404: "no such prediction, or it has expired",
    408: "nothing came for 30 seconds",
    409: "the prediction is not finished",
    413: "more than 200000000 bytes",
    415: "send a form (multipart/form-data) with the recording in the field file",
    422: "not audio that libsndfile or ffmpeg can read",
    429: "16 recordings are waiting already",
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
                            "description": "A recording in any format.",
                        }
                    },
                },
            }
        },
    }
}
"""The form of an upload, which FastAPI would read into memory or a folder of its own."""


class Health(BaseModel):
    """That the server answers, and which version it is."""

    status: Literal["ok"]
    version: str = Field(examples=["0.1.0"])


class Model(BaseModel):
    """A model on board."""

    name: str
    speech: str
    music: str
    transfer_setting: str
    experimental: bool


class Head(BaseModel):
    """What the models predict: a distribution over classes."""

    name: str
    classes: list[str]
    titles: list[str]
    colours: list[str]


class Most(BaseModel):
    """How much the server takes."""

    bytes: int = Field(description="Of an upload.")
    seconds: float = Field(description="Of a recording.")
    files: int = Field(description="Recordings that may wait.")


class Models(BaseModel):
    """The models on board, what they predict, and how much they are fed."""

    models: list[Model]
    heads: list[Head]
    limits: Most


class Progress(BaseModel):
    """Seconds predicted, and the length that the header speaks of, if it does."""

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
    """Probabilities of the classes, one row a second."""

    classes: list[str]
    rows: list[list[float]]


class PredictionDocument(BaseModel):
    """Perceived emotion, second by second; what `quadpred predict --json` writes."""

    model_config = ConfigDict(json_schema_extra={"example": _RESULT})

    number: int = Field(alias="schema")
    quadpred: str
    source: str
    duration: float
    damage: str | None
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


class JobDocument(BaseModel):
    """An upload and what has become of it."""

    model_config = ConfigDict(json_schema_extra={"example": _JOB})

    id: str
    status: Literal["queued", "running", "done", "failed"]
    source: str
    progress: Progress
    warning: str | None = Field(description="What of the recording is damaged or missing.")
    error: Problem | None
    result: PredictionDocument | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route may answer with."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": problem(status, _PROBLEMS[status]),
                }
            },
        }
        for status in (401, 403, *statuses)
    }


def content(kind: str, description: str, example: str | None = None) -> dict[str, Any]:
    """Describe an answer that is no JSON."""
    schema = {"type": "string"} if example else {"type": "string", "format": "binary"}
    described: dict[str, Any] = {"schema": schema}
    if example:
        described["example"] = example
    return {"description": description, "content": {kind: described}}
