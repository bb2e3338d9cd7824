"""Affinity keys that travel elsewhere than in a cookie or an address: in a header of the request, or in its URL."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from limpet.harness.model.contract.stated import Stated


def _token(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise ValueError(f"{name!r} is no header name; write letters, digits and hyphens, such as Mcp-Session-Id")
    return name


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", name):
        raise ValueError(f"{name!r} needs escapes in a URL; write letters, digits and -._~ only, such as jsessionid")
    return name


HeaderName = Annotated[str, Field(min_length=1), AfterValidator(_token)]
UrlName = Annotated[str, Field(min_length=1), AfterValidator(_plain)]


class HeaderKey(BaseModel):
    """The key is the value of a request header. Names of headers are compared without regard to case (RFC 9110, 5.1).

    ``minted``: a response's header of the same name hands the key out; else it is the client's own invention.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: HeaderName
    minted: Stated[bool] | None = None


class UrlKey(BaseModel):
    """The key is a session id in the URL: a path parameter (``/shop;jsessionid=ID``), a query parameter, or either.

    ``segments``: the path parameter counts behind the last segment only, or behind any. ``escapes``: an id with escapes
    (``%41``) is the same as without them, or text like any other. ``minted``: a response hands
    the id out by the application's cookie of the same session (`Contract.application`, its name), so that clients
    without cookies can be given URLs with it; else the id is the client's own invention. ``cookie``: what that cookie
    in a request counts beside the URL: nothing, only where the URL has no id, or more than the URL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path_parameter: UrlName | None = None
    query: UrlName | None = None
    segments: Stated[Literal["last", "any"]] | None = None
    escapes: Stated[Literal["undone", "kept"]] | None = None
    minted: Stated[bool] | None = None
    cookie: Stated[Literal["unread", "after", "before"]] | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> UrlKey:
        if self.path_parameter is None and self.query is None:
            raise ValueError("name the path_parameter or the query parameter that holds the id, or both")
        return self
