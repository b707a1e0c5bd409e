"""The functions of HTTP connections, as the executor runs them."""

from collections.abc import Mapping

from contracts.functions import Connection, Function, HttpConnection
from contracts.model import JsonValue
from services.executor.credentials import read_credential
from services.executor.http import HttpRunner
from services.executor.outcomes import Attempt, Outcome, Send
from services.executor.request import build_request


class HttpFunctions:
    """The `Runner` of `kind: http`. `environ` is where credentials are looked for."""

    def __init__(self, runner: HttpRunner, environ: Mapping[str, str]) -> None:
        self._runner = runner
        self._environ = environ

    async def prepare(self, function: Function, connection: Connection, arguments: Mapping[str, JsonValue]) -> Send:
        """Builds the request and reads the credential. RequestError, CredentialError."""
        if not isinstance(connection, HttpConnection):
            raise TypeError("not an HTTP connection")
        request = build_request(connection, function, arguments)
        credential = read_credential(connection.credential, self._environ) if connection.credential else None

        async def send(attempt: Attempt) -> Outcome:
            return await self._runner.run(
                request,
                credential=credential,
                idempotency_key=attempt.call_id,
                deadline_seconds=attempt.deadline_seconds,
                response_limit=connection.response_limit,
                traceparent=attempt.traceparent,
            )

        return send
