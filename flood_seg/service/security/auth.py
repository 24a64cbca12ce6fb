"""The dependency of routes that admits callers of a role: `Annotated[Caller, Depends(allowed("predict"))]`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from flood_seg.service.problems import Problem
from flood_seg.service.security.access import Access, Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import HTTPConnection

    from flood_seg.service.security.keys import Role

COOKIE = "flood_seg_session"

_bearer = HTTPBearer(auto_error=False, description="An API key")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="A session of the page, by POST /session")


def credentials(connection: HTTPConnection) -> tuple[str | None, str | None]:
    """Returns the key and the session that a request carries, as the dependencies below do."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "bearer" and key else None, connection.cookies.get(COOKIE)


async def caller_of(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    session: Annotated[str | None, Depends(_cookie)],
) -> Caller:
    """Returns who sent a request; raises Problem 401 of a caller without a key, where keys are required."""
    access: Access = request.app.state.service.access  # not by state.py, which imports this package
    caller = access.caller(bearer.credentials if bearer else None, session)
    request.state.caller = caller.name  # for the log
    return caller


CallerOf = Annotated[Caller, Depends(caller_of)]


def allowed(role: Role) -> Callable[[Caller], Awaitable[Caller]]:
    """Returns the dependency that admits callers of a role and of those above it, and returns the caller.

    Raises:
        Problem: 401, the request has no key, or an unknown one; 403, the caller's role is too low.
    """

    async def check(caller: CallerOf) -> Caller:
        if not caller.may(role):
            raise Problem(HTTPStatus.FORBIDDEN, f"the role of {caller.name} is {caller.role}; this requires {role}")
        return caller

    return check
