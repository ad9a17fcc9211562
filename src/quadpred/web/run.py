"""Listen at an address, and serve until a signal arrives."""

import errno
import socket
import threading
import webbrowser
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from quadpred.web.app import PrefixMiddleware, create_app
from quadpred.web.connections import limited_protocol
from quadpred.web.limits import Limits
from quadpred.web.security import AccessPolicy, SecurityMiddleware
from quadpred.web.uploads import Uploads

__all__ = ["Server", "listen_at", "make_server", "run"]

_BACKLOG = 128  # connections that are not accepted yet
_SHUTDOWN_TIMEOUT = 2  # seconds for answers that are being sent when a signal arrives
_MAX_MESSAGE = 1 << 20  # bytes of live audio, 5 seconds of it


def listen_at(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        OSError: the address is in use, or does not belong to this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # A gaierror has numbers of its own.
        number = error.errno if not isinstance(error, socket.gaierror) else errno.EADDRNOTAVAIL
        reason = error.strerror or str(error)
        raise OSError(number, reason.partition(" (while")[0], f"{host}:{port}") from None
    except UnicodeError:
        raise OSError(errno.EADDRNOTAVAIL, "not a name of a machine", f"{host}:{port}") from None


class Server(uvicorn.Server):
    """A uvicorn server that starts the workers first, and ends waiting requests when it stops."""

    def __init__(self, app: FastAPI, config: uvicorn.Config):
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the workers, then accept connections.

        Raises:
            OSError: there is no place for uploads.
            WorkerLostError: the workers cannot start.
        """
        self._app.state.uploads = Uploads()
        try:
            await self._app.state.jobs.start()
        except BaseException:
            self._app.state.uploads.close()
            raise
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End event streams and waiting requests with an answer, then everything else."""
        self._app.state.jobs.stop()
        try:
            await super().shutdown(sockets)
        finally:
            await self._app.state.jobs.close()
            self._app.state.uploads.close()


def make_server(policy: AccessPolicy, limits: Limits, workers: int, prefix: str = "") -> Server:
    """Make the server; see `create_app`."""
    app = create_app(limits, workers, prefix)
    config = uvicorn.Config(
        PrefixMiddleware(SecurityMiddleware(app, policy), prefix),
        http=limited_protocol(limits, prefix),
        lifespan="off",
        log_level="warning",
        access_log=False,  # it would show a token in the address of the page
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        ws_max_size=_MAX_MESSAGE,
        ws_max_queue=4,
        proxy_headers=False,
    )
    return Server(app, config)


def run(
    policy: AccessPolicy, limits: Limits, workers: int, *, port: int, prefix: str, open_page: bool
) -> None:
    """Serve until a signal arrives.

    Raises:
        OSError: it cannot listen at this address.
    """
    with listen_at(policy.host, port) as listening:
        host, port = listening.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        query = f"?token={quote(policy.token, safe='')}" if policy.token else ""
        address = f"http://{name}:{port}{prefix}/{query}"
        print(f"quadpred: serving at {address} (Ctrl-C ends it)", flush=True)
        if open_page:
            threading.Timer(1, webbrowser.open, [address]).start()
        make_server(policy, limits, workers, prefix).run(sockets=[listening])
