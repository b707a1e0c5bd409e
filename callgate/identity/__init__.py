"""Who asks: bearer tokens (JWTs of the configured issuers) to verified principals.

    authenticator = Authenticator(issuers, clock=time.time, http=AiohttpFetcher(session))
    principal = await authenticator.authenticate(request.headers.get("authorization"))

`authenticate` raises `Unauthenticated`, whose `code`, `detail`, `status` and `challenge` may be shown to the caller:
nothing in them comes from the token.
"""

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.fetch import AiohttpFetcher, Fetcher, FetchFailed
from callgate.identity.settings import IssuerSettings

__all__ = [
    "AiohttpFetcher",
    "Authenticator",
    "FetchFailed",
    "Fetcher",
    "IssuerSettings",
    "Refusal",
    "Unauthenticated",
]
