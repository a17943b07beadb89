"""The explorer as a local server: it answers only this machine, sends only pictures of runs, and writes nothing."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sepm_eval.images import UnreadableImage
from sepm_eval.view import PAGE, PARTS
from sepm_eval.view.following import Following
from sepm_eval.view.pictures import encoded, thumbnail

HOST = "127.0.0.1"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",  # no page of another site may load the answers as a script
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PortTaken(ValueError):
    """The port that was asked for is in use."""


def bound(port: int = 0) -> socket.socket:
    """Open a socket on this machine's loopback address.

    Args:
        port: the port; 0 takes one that is free.

    Raises:
        PortTaken: the port is in use, for example by another viewer.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.bind((HOST, port))
        found.listen()  # now, so that a second viewer is refused and not only queued behind the first
    except OSError as error:
        found.close()
        raise PortTaken(
            f"port {port} of {HOST} cannot be used ({error.strerror}): another viewer may have it. Leave out "
            "--port, and a free one is taken"
        ) from error
    return found


def application(following: Following) -> Starlette:
    """Make the web application: the pages, and the data that they ask for.

    Args:
        following: the runs to show.
    """

    def page(request: Request) -> Response:
        return _file("index.html")

    def version(request: Request) -> Response:
        return PlainTextResponse(str(following.version.number))

    def listed(request: Request) -> Response:
        return _script(f"view.takeList({following.version.content});")

    def opened(request: Request) -> Response:
        item = request.path_params["item"]
        return _script(f"view.takeItems({item}, {following.details(item)});")

    def picture(request: Request) -> Response:
        path = following.picture(request.path_params["item"])
        try:
            content = thumbnail(path) if "small" in request.query_params else encoded(path)
        except UnreadableImage:
            return Response(status_code=204)  # a 404 would be an error on the browser's console for every row
        return Response(content, media_type="image/jpeg")

    routes = [
        Route("/", page),
        Route("/items.html", page),
        Route("/items/version", version),
        Route("/items/list.js", listed),
        Route("/items/picture/{item:int}", picture),
        Route("/items/{item:int}.js", opened),
        *(Route(f"/items/{name}", lambda request, name=name: _file(name)) for name in PARTS),
    ]
    guards = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
        Middleware(BaseHTTPMiddleware, _guard),
    ]
    return Starlette(routes=routes, middleware=guards, exception_handlers={LookupError: _missing})


def serve(folders: Sequence[Path], listening: socket.socket) -> None:
    """Serve some folders until Ctrl-C.

    Args:
        folders: what ``sepm-eval run`` or lmms-eval wrote, or is writing.
        listening: the socket from ``bound``.
    """
    following = Following(folders)
    following.start()
    config = uvicorn.Config(application(following), log_level="error", access_log=False, timeout_graceful_shutdown=1)
    try:
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        following.stop()
        listening.close()


async def _guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse what pages of other sites ask for, and add headers that keep the content within this site.

    If a user follows a link on another site, that is allowed: the browser shows the content, and the page with the link
    cannot read it.
    """
    site, mode = (request.headers.get(f"sec-fetch-{name}", "") for name in ("site", "mode"))
    if site not in ("", "none", "same-origin") and mode != "navigate":
        response: Response = PlainTextResponse("asked by another site", status_code=403)
    else:
        response = await answer(request)
    response.headers.update(_HEADERS)
    return response


def _missing(request: Request, error: Exception) -> Response:
    return PlainTextResponse("there is no such item", status_code=404)


def _file(name: str) -> Response:
    return Response((PAGE / name).read_bytes(), media_type=_TYPES[Path(name).suffix])


def _script(content: str) -> Response:
    return Response(content, media_type="text/javascript")
