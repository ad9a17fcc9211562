"""The command `quadpred serve`. What is slow to import is imported inside."""

import os
from ipaddress import ip_address
from typing import Annotated

import typer

from quadpred.errors import QuadpredError

__all__ = ["ServeError", "serve"]

_LEAST = 16  # characters of a token
_DEFAULT_WORKERS = min(4, os.cpu_count() or 1)


class ServeError(QuadpredError):
    """A server that would not be safe. One line: what is missing."""


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="QUADPRED_TOKEN",
            help=f"What clients have to know, {_LEAST} characters or more; "
            "needed at any address but this machine's own.",
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Serve at another address without a token.")
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Predictions at the same time.")
    ] = _DEFAULT_WORKERS,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Largest upload.")] = 200,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="Longest recording.")] = 60,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page to drop songs on, and an HTTP API."""
    if token is not None and (
        len(token) < _LEAST or not token.isascii() or not token.isprintable()
    ):
        raise ServeError(f"--token: must be {_LEAST} or more plain characters")
    if not _only_here(host) and token is None and not no_auth:
        raise ServeError(f"--host {host}: others can reach it; give a --token, or say --no-auth")
    from quadpred.web.limits import MEGABYTE, Limits
    from quadpred.web.run import run
    from quadpred.web.security import Access

    limits = Limits(bytes=max_megabytes * MEGABYTE, seconds=60 * max_minutes)
    run(Access(host, token), limits, workers, port=port, open_page=open_page)


def _only_here(host: str) -> bool:
    """Whether only programs of this machine can reach this address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
