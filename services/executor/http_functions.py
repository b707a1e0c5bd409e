"""The functions of HTTP connections, as the executor runs them."""

from collections.abc import Mapping
from dataclasses import replace

from callgate.http_mapping.received import Received
from contracts.functions import Connection, Function, FunctionSpec, HttpConnection
from contracts.model import JsonValue
from services.executor.answer_headers import led_back
from services.executor.credentials import read_credential
from services.executor.http import HttpRunner
from services.executor.outcomes import Attempt, Completed, Headers, Outcome, Send
from services.executor.request import build_request


class HttpFunctions:
    """The `Runner` of `kind: http`. `environ` is where credentials are looked for."""

    def __init__(self, runner: HttpRunner, environ: Mapping[str, str]) -> None:
        self._runner = runner
        self._environ = environ

    async def prepare(
        self,
        function: Function,
        connection: Connection,
        arguments: Mapping[str, JsonValue],
        received: Received | None = None,
    ) -> Send:
        """Builds the request and reads the credential. MappingError, CredentialError."""
        if not isinstance(connection, HttpConnection) or not isinstance(function.spec, FunctionSpec):
            raise TypeError("not an HTTP connection")
        request = build_request(connection, function.spec, arguments, received)
        credential = read_credential(connection.credential, self._environ) if connection.credential else None

        async def send(attempt: Attempt) -> Outcome:
            outcome = await self._runner.run(
                request,
                credential=credential,
                idempotency_key=attempt.call_id,
                deadline_seconds=attempt.deadline_seconds,
                response_limit=connection.response_limit,
                traceparent=attempt.traceparent,
            )
            if not isinstance(outcome, Completed):
                return outcome
            seen: Headers = ()
            if received is not None:
                seen = led_back(outcome.headers, request.url, connection.base_url, function.connection)
            return replace(outcome, headers=seen)

        return send
