"""Whom the server answers, and what its answers allow a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx

from helpers.serving import serving
from quadpred import registry
from quadpred.web.security import AccessPolicy

pytestmark = pytest.mark.slow

TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JOBS = "/v1/predictions"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    with serving(policy=AccessPolicy("0.0.0.0", TOKEN)) as client:
        yield client


@pytest.fixture(autouse=True)
def no_cookies(request: pytest.FixtureRequest) -> None:
    if "guarded" in request.fixturenames:
        request.getfixturevalue("guarded").cookies.clear()


def refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_is_needed(guarded: httpx.Client) -> None:
    for path in "/", "/v1/models", JOBS, f"{JOBS}/a", "/openapi.json", "/v1/events":
        refused(guarded.get(path), 401)
        assert guarded.get(path).headers["www-authenticate"] == "Bearer"
    refused(guarded.post(JOBS, files={"file": b"RIFF"}), 401)
    for path in "/healthz", "/static/sign-in.css", "/problems/token-needed":
        assert guarded.get(path).status_code == 200
    assert guarded.get("/v1/models", headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": "Bearer wrong-horse-battery"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"quadpred={TOKEN}"},
        {"Cookie": "quadpred=; ="},
    ],
)
def test_a_wrong_token(guarded: httpx.Client, header: dict[str, str]) -> None:
    refused(guarded.get("/v1/models", headers=header), 401)


def test_address_with_the_token_opens_the_page(guarded: httpx.Client) -> None:
    refused(guarded.get("/?token=wrong"), 401)
    refused(guarded.get(f"/v1/models?token={TOKEN}"), 401)
    answer = guarded.get(f"/?token={TOKEN}")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/v1/models").status_code == 200
    assert "set-cookie" not in guarded.get("/").headers


@pytest.mark.parametrize(
    "other", ['prefs={"a":"b"}', "x=[1,2]", "x=\u00e4", "a b", "=", "x", "x=;;"]
)
def test_cookies_of_other_programs_at_this_host_do_no_harm(
    guarded: httpx.Client, other: str
) -> None:
    own = guarded.get(f"/?token={TOKEN}").headers["set-cookie"].partition(";")[0]
    guarded.cookies.clear()
    for cookies in f"{other}; {own}", f"{own}; {other}":
        header = {"Cookie": cookies.encode()}
        assert guarded.get("/v1/models", headers=header).status_code == 200
    refused(guarded.get("/v1/models", headers={"Cookie": other.encode()}), 401)


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_browser_gets_a_form_for_the_token(guarded: httpx.Client) -> None:
    answer = guarded.get("/", headers=BROWSER)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'action="/sign-in"' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    wrong = guarded.post("/sign-in", data={"token": "wrong"}, headers=BROWSER)
    assert wrong.status_code == 401
    assert "not the token" in wrong.text
    assert "set-cookie" not in wrong.headers
    for content in b"", b"token=" + bytes(10_000), b"\xff":
        assert guarded.post("/sign-in", content=content).status_code == 401
    right = guarded.post("/sign-in", data={"token": f" {TOKEN} "})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert TOKEN not in right.headers["set-cookie"]
    assert guarded.get("/", headers=BROWSER).status_code == 200


def test_other_sites_cannot_sign_in(guarded: httpx.Client) -> None:
    header = {"Origin": "https://other.example"}
    refused(guarded.post("/sign-in", data={"token": TOKEN}, headers=header), 403)


def test_without_a_token_there_is_nothing_to_sign_in_to(client: httpx.Client) -> None:
    assert client.post("/sign-in", data={"token": TOKEN}).status_code == 404


@pytest.mark.parametrize("stripped", [False, True])
def test_below_a_prefix(stripped: bool) -> None:
    """A proxy may pass the prefix on or strip it."""
    with serving(policy=AccessPolicy("127.0.0.1", TOKEN), prefix="/emotion") as client:
        below = "" if stripped else "/emotion"
        form = client.get(f"{below}/", headers=BROWSER)
        assert 'action="/emotion/sign-in"' in form.text
        assert 'href="/emotion/static/sign-in.css"' in form.text
        assert client.get(f"{below}/static/sign-in.css").status_code == 200
        assert client.get(f"{below}/healthz").status_code == 200
        assert client.get(f"{below}/v1/models").json()["type"] == "/emotion/problems/token-needed"
        answer = client.post(f"{below}/sign-in", data={"token": TOKEN})
        assert answer.headers["location"] == "/emotion/"
        assert "Path=/emotion/" in answer.headers["set-cookie"]
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        job = client.post(f"{below}{JOBS}", files={"file": b"RIFF"}, headers={"Prefer": "wait=60"})
        where = job.headers["location"]
        assert where.startswith(f"/emotion{JOBS}/")
        assert client.get(where.removeprefix("/emotion" if stripped else "")).status_code == 200
        assert job.json()["error"]["type"] == "/emotion/problems/unreadable"
        assert client.get(f"{below}/static/nothing").json()["type"] == "/emotion/problems/not-found"
        assert client.get(f"{below}/openapi.json").json()["servers"] == [{"url": "/emotion"}]
        if not stripped:
            moved = client.get("/emotion?a=b")
            assert (moved.status_code, moved.headers["location"]) == (308, "/emotion/?a=b")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("192.168.1.5:80", 200),
        ("rebound.example", 403),
        ("localhost.rebound.example", 403),
        ("127.0.0.1.rebound.example:8000", 403),
        ("", 403),
        ("[", 403),
        ("localhost:99999", 403),
    ],
)
def test_names_of_the_server(client: httpx.Client, host: str, status: int) -> None:
    """A page of another site can give this address a name of its own."""
    assert client.get("/v1/models", headers={"Host": host}).status_code == status


def test_a_token_allows_any_name(guarded: httpx.Client) -> None:
    header = {"Host": "music.example", **BEARER}
    assert guarded.get("/v1/models", headers=header).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://other.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_cannot_post(client: httpx.Client, header: dict[str, str]) -> None:
    refused(client.post(JOBS, files={"file": b"RIFF"}, headers=header), 403)
    refused(client.delete(f"{JOBS}/a", headers=header), 403)


def test_the_page_itself_can_post(client: httpx.Client) -> None:
    origin = str(client.base_url).rstrip("/")
    header = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    assert client.post(JOBS, files={"file": b"RIFF"}, headers=header).status_code == 202


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/v1/models", f"{JOBS}/unknown", "/nothing", "/openapi.json"]
)
def test_headers_of_every_answer(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_an_internal_error_reveals_nothing_of_the_server(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise FileNotFoundError("/secret/folder")

    monkeypatch.setattr(registry, "models", broken)
    answer = httpx.get(client.base_url.join("/v1/models"))  # a connection that ends with it
    refused(answer, 500)
    assert answer.json()["detail"] == "internal error"


def test_static_files_stay_in_their_folder(client: httpx.Client) -> None:
    for path in "/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd":
        assert client.get(path).status_code == 404


def test_folder_for_uploads_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quadpred.web.uploads import Uploads

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = tmp_path / "quadpred-serve-of-nobody"
    other.mkdir()
    (other / "song").write_bytes(b"RIFF")
    first, second = Uploads(), Uploads()
    assert not other.exists()  # its server is no more
    assert sorted(tmp_path.iterdir()) == sorted([first.folder, second.folder])
    assert first.folder.stat().st_mode & 0o777 == 0o700
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())
