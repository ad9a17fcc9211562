"""`quadpred serve`."""

import os
import re
from ipaddress import ip_address
from typing import Annotated

import typer

from quadpred.cli.console import UsageError

__all__ = ["serve"]

_MIN_TOKEN = 16  # characters
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_DEFAULT_WORKERS = min(4, os.cpu_count() or 1)


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port; 0 chooses a free one.")
    ] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="QUADPRED_TOKEN",
            metavar="TEXT",
            help=f"Secret that clients must send, {_MIN_TOKEN} characters or more. "
            "Needed unless --host is a loopback address, such as 127.0.0.1.",
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Serve other machines without a token.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            metavar="N",
            help="Predictions at the same time. Default: number of cores, at most 4.",
            show_default=False,
        ),
    ] = _DEFAULT_WORKERS,
    max_megabytes: Annotated[int, typer.Option(min=1, metavar="N", help="Largest upload.")] = 200,
    max_minutes: Annotated[
        float, typer.Option(min=0.1, metavar="MINUTES", help="Longest recording.")
    ] = 60,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="Path under which a proxy serves the page, such as /emotion."
        ),
    ] = "",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a web page and an HTTP API that predict uploaded recordings."""
    if token is not None and (
        len(token) < _MIN_TOKEN or not token.isascii() or not token.isprintable()
    ):
        raise UsageError(f"--token: must be {_MIN_TOKEN} or more printable ASCII characters")
    if not _only_here(host) and token is None and not no_auth:
        raise UsageError(f"--host {host}: other machines can reach it; add --token or --no-auth")
    path = prefix.removesuffix("/")
    if not _PREFIX.fullmatch(path):
        raise UsageError(f"--prefix {prefix}: must be a path such as /emotion")
    from quadpred.web.limits import MEGABYTE, Limits
    from quadpred.web.run import run
    from quadpred.web.security import AccessPolicy

    limits = Limits(bytes=max_megabytes * MEGABYTE, seconds=60 * max_minutes)
    run(
        AccessPolicy(host, token),
        limits,
        workers,
        port=port,
        prefix=path,
        open_page=open_page,
    )


def _only_here(host: str) -> bool:
    """Return whether only programs of this machine can reach this address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
