"""`/session`: signs a browser in with a key, so that images, downloads and events of the page need no header."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from flood_seg.service.problems import documented
from flood_seg.service.security.access import SESSION_SECONDS
from flood_seg.service.security.auth import COOKIE, credentials
from flood_seg.service.security.keys import Role
from flood_seg.service.state import ServiceOf

router = APIRouter(prefix="/session", tags=["session"])


class SignIn(BaseModel):
    """What signs a browser in."""

    key: Annotated[str, Field(min_length=1, max_length=200, description="An API key")]


@dataclass
class Session:
    """Who a browser is.

    Attributes:
        required: whether the service requires keys.
        name: of the key; None: nobody has signed in.
        role: what its callers may do.
    """

    required: bool
    name: str | None
    role: Role | None


@router.post("", responses=documented(HTTPStatus.UNAUTHORIZED))
async def sign_in(given: SignIn, request: Request, response: Response, service: ServiceOf) -> Session:
    """Signs a browser in: sets a cookie that the other endpoints take like a key, for 12 hours."""
    caller = service.access.caller(given.key, None)
    response.set_cookie(
        COOKIE, service.access.open_session(caller.name), max_age=SESSION_SECONDS, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return Session(service.access.required, caller.name, caller.role)


@router.get("")
async def show(request: Request, service: ServiceOf) -> Session:
    """Returns who has signed in, whether the service requires keys, and what a caller may do without one."""
    access = service.access
    if caller := access.known(*credentials(request)):
        return Session(access.required, caller.name, caller.role)
    return Session(access.required, None, None if access.required else access.anonymous.role)


@router.delete("", status_code=HTTPStatus.NO_CONTENT)
async def sign_out(request: Request, response: Response) -> None:
    """Signs the browser out."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
