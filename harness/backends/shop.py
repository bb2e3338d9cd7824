"""What the backend answers: a small shop whose every answer says who it is and whom it knows."""

from __future__ import annotations

import hmac
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from limpet.harness.backends.request import HttpRequest, Steering
from limpet.harness.backends.sessions import Session, StoreFault
from limpet.harness.backends.state import BackendState

_PATTERN = b"limpet "


class Page(msgspec.Struct):
    """The JSON body of an answer. `session`, `user`: null when no known session came; `visits` counts its requests."""

    backend: str
    instance: str
    request: str
    peer: str
    session: str | None
    user: str | None
    cart: list[str]
    visits: int


class Reply(NamedTuple):
    """An answer before it is framed."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def identity(state: BackendState, request: str) -> list[tuple[str, str]]:
    """The headers that every response carries."""
    return [
        ("Limpet-Backend", state.options.name),
        ("Limpet-Instance", state.instance),
        ("Limpet-Request", request),
        ("Cache-Control", "no-store"),
    ]


def plain(state: BackendState, status: int, text: str, request: str = "") -> Reply:
    """A short answer in words."""
    headers = identity(state, request)
    return Reply(status, [*headers, ("Content-Type", "text/plain; charset=utf-8")], text.encode() + b"\n")


def serve(state: BackendState, request: HttpRequest, id: str, peer: str, wish: Steering) -> Reply:
    """Answer a request of the shop: POST /login, POST /cart, anything else; 503 while its store is away."""
    try:
        return _serve(state, request, id, peer, wish)
    except StoreFault as err:
        return plain(state, 503, str(err), id)


def _serve(state: BackendState, request: HttpRequest, id: str, peer: str, wish: Steering) -> Reply:
    headers = identity(state, id)
    cookie = state.options.session_cookie
    session = next((one for value in request.cookies(cookie) if (one := state.sessions.get(value)) is not None), None)
    if session is not None:
        session.visits += 1
    path = request.path.partition(";")[0]  # a session id may ride in the path
    if request.method == "POST" and path == "/login":
        user = request.form("user")
        if not user:
            return plain(state, 400, "POST /login needs user=NAME, as a form or as JSON", id)
        session = state.sessions.create(user)
        headers.append(("Set-Cookie", f"{cookie}={session.id}; Path=/; HttpOnly"))
    elif request.method == "POST" and path == "/cart" and session is not None:
        item = request.form("item")
        if not item:
            return plain(state, 400, "POST /cart needs item=NAME, as a form or as JSON", id)
        session.cart.append(item)
    if session is not None:
        state.sessions.put(session)
    for line in wish.set_cookies:
        fresh = state.sessions.create().id if "{session}" in line else ""
        headers.append(("Set-Cookie", line.replace("{session}", fresh).replace("{backend}", state.options.name)))
    headers += wish.headers
    if wish.mint and not request.header(wish.mint.lower()):
        headers.append((wish.mint, state.sessions.create().id))
    status = state.faults.status or wish.status or 200
    if wish.body is not None:
        content = (_PATTERN * (wish.body // len(_PATTERN) + 1))[: wish.body]
        return Reply(status, [*headers, ("Content-Type", "application/octet-stream")], content)
    return Reply(status, [*headers, ("Content-Type", "application/json")], _page(state, id, peer, session))


def _page(state: BackendState, id: str, peer: str, session: Session | None) -> bytes:
    page = Page(state.options.name, state.instance, id, peer, None, None, [], 0)
    if session is not None:
        page.session, page.user, page.cart, page.visits = session.id, session.user, session.cart, session.visits
    return msgspec.json.encode(page)


def health(state: BackendState) -> Reply:
    """The answer to a health check, counted but in no history."""
    state.health_requests += 1
    status = state.faults.health_status
    return plain(state, status, "healthy" if status < 400 else "unhealthy on purpose")


def private(state: BackendState, request: HttpRequest) -> Reply:
    """What is under /_limpet/: the history, for those who know the token."""
    token = state.options.token
    if request.path != "/_limpet/history" or not token:
        return plain(state, 404, "there is nothing here" + ("" if token else ": no token was set"))
    if not hmac.compare_digest(request.header("authorization").encode(), f"Bearer {token}".encode()):
        status, headers, body = plain(state, 401, "send the header Authorization: Bearer TOKEN")
        return Reply(status, [*headers, ("WWW-Authenticate", "Bearer")], body)
    after = parse_qs(request.query).get("after", ["0"])[0]
    if not (after.isascii() and after.isdigit()):
        return plain(state, 400, "after=N takes a number of records")
    lines = state.recorder.lines[int(after) :]
    headers = [*identity(state, ""), ("Content-Type", "application/x-ndjson")]
    return Reply(200, headers, b"".join(lines))
