"""Listen, and serve until told to stop."""

import errno
import socket
import threading
import webbrowser

import uvicorn

from quadpred.web.app import create_app
from quadpred.web.limits import Limits
from quadpred.web.security import Access, Guard

__all__ = ["listen_at", "run", "server"]

_WAITING = 128  # connections that are not accepted yet
_AT_ONCE = 200  # connections
_FAREWELL = 2  # seconds for answers under way when told to stop
_MESSAGE = 1 << 20  # bytes of live audio, 5 seconds of it


def listen_at(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        OSError: the address is taken, or not one of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_WAITING)
    except OSError as error:
        # A system's words for each; gaierror has numbers of its own.
        number = error.errno if not isinstance(error, socket.gaierror) else errno.EADDRNOTAVAIL
        reason = error.strerror or str(error)
        raise OSError(number, reason.partition(" (while")[0], f"{host}:{port}") from None


def server(access: Access, limits: Limits, workers: int) -> uvicorn.Server:
    """Make the server."""
    config = uvicorn.Config(
        Guard(create_app(limits, workers), access),
        log_level="warning",
        access_log=False,  # it would show a token that opens the page
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_FAREWELL,
        ws_max_size=_MESSAGE,
        ws_max_queue=4,
        proxy_headers=False,
    )
    return uvicorn.Server(config)


def run(access: Access, limits: Limits, workers: int, *, port: int, open_page: bool) -> None:
    """Serve until a signal comes.

    Raises:
        OSError: it cannot listen there.
    """
    with listen_at(access.host, port) as listening:
        host, port = listening.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{port}/"
        print(f"quadpred: serving at {address} (Ctrl-C ends it)", flush=True)
        if open_page:
            query = f"?token={access.token}" if access.token else ""
            threading.Timer(1, webbrowser.open, [address + query]).start()
        server(access, limits, workers).run(sockets=[listening])
