"""Who asks, on the doors for people."""

from fastapi import Request

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from contracts.identity import Principal


async def person_of(authenticator: Authenticator, request: Request) -> Principal:
    """The verified identity of a request. Unauthenticated, also where there is more than one to choose from."""
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise Unauthenticated(Refusal.MALFORMED_TOKEN, "send one Authorization header")
    return await authenticator.authenticate(headers[0] if headers else None)
