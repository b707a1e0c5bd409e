"""Who asks: bearer tokens (JWTs of the configured issuers) to verified principals.

    authenticator = Authenticator(issuers, clock=time.time, http=AiohttpFetcher(session))
    principal = await authenticator.authenticate(request.headers.get("authorization"))

`authenticate` raises `Unauthenticated`, whose `code`, `detail`, `status` and `challenge` may be shown to the caller:
nothing in them comes from the token. Each module is imported by itself: the settings need neither PyJWT nor aiohttp.
"""
