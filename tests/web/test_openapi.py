"""The OpenAPI document, and whether the server keeps to it."""

from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from helpers.serving import serving
from quadpred.web.app import create_app
from quadpred.web.limits import Limits

pytestmark = pytest.mark.slow

DOCUMENT = create_app(Limits(), 1).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
        with serving(Limits(queue=1000)) as client:
            yield client


@schema.parametrize()
@seed(0)
@settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(case: schemathesis.Case, client: httpx.Client) -> None:
    # No schema can tell a recording from other bytes.
    case.call_and_validate(
        base_url=str(client.base_url), excluded_checks=[positive_data_acceptance]
    )


def test_every_answer_has_an_example() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, route in methods.items():
            for status, answer in route["responses"].items():
                for content in answer.get("content", {}).values():
                    text = str(content.get("example", "")) + str(DOCUMENT["components"])
                    assert "example" in text, (path, method, status)


def test_the_document_is_served(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
