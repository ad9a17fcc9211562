"""The OpenAPI document, and whether the server keeps to it."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

import httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

from helpers.serving import serving
from quadpred.web.app import create_app
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

DOCUMENT = create_app(Limits(), 1).openapi()
OPERATIONS = [
    (f"{method} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
SCHEMAS = DOCUMENT["components"]["schemas"]
ENDLESS = "/v1/events"  # a stream, which test_web_events.py tests


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(Limits(queue=1000)) as client:
        yield client


@pytest.mark.parametrize("name", [name for name, _ in OPERATIONS if ENDLESS not in name])
def test_answers_are_as_documented(name: str, client: httpx.Client) -> None:
    # Takes seconds to import, which other processes would spend for nothing.
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    method, path = name.split()
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]

    @given(case=operation.as_strategy())
    @seed(0)
    @settings(
        max_examples=15,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        # No schema can tell a recording from other bytes.
        case.call_and_validate(
            base_url=str(client.base_url), excluded_checks=[positive_data_acceptance]
        )

    check()


def has_example(content: dict) -> bool:
    """Tell whether an answer, or the type that it refers to, has an example."""
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    return bool({"example", "examples"} & {*content, *SCHEMAS.get(name, {})})


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_every_answer_has_an_example(name: str, operation: dict) -> None:
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if kind != "image/png":
                assert has_example(content), (name, status)


def test_operations_have_readable_names() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {"create_prediction", "get_prediction", "follow_predictions"} < set(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)


def test_answers_that_never_occur_are_not_documented() -> None:
    assert "HTTPValidationError" not in SCHEMAS
    for name, operation in OPERATIONS:
        takes_input = "/v1/predictions" in name and name.startswith("post")
        assert ("422" in operation["responses"]) == (takes_input or "/v1/events" in name), name


def test_the_token_is_documented() -> None:
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"bearer", "cookie"}
    for name, operation in OPERATIONS:
        assert ("401" in operation["responses"]) == (name != "get /healthz")
        assert operation.get("security", DOCUMENT["security"]) == (
            [] if name == "get /healthz" else [{}, {"bearer": []}, {"cookie": []}]
        )


def test_headers_of_answers_are_documented() -> None:
    responses = DOCUMENT["paths"]["/v1/predictions"]["post"]["responses"]
    assert set(responses["202"]["headers"]) == {"Location"}
    assert set(responses["200"]["headers"]) == {"Location", "Preference-Applied"}
    assert set(responses["429"]["headers"]) == {"Retry-After"}
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    for name in "prediction.json", "rows.csv", "taggram.png":
        download = DOCUMENT["paths"][f"/v1/predictions/{{id}}/{name}"]["get"]["responses"]["200"]
        assert set(download["headers"]) == {"Content-Disposition"}


def test_the_document_is_served(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
