"""The embedded OIDC issuer for development and the demo. NOT for production: it gives anyone on this machine any
of its identities, and for that reason binds to loopback only.

    issuer = DevIssuer.open(state / "dev_issuer", issuer_url="http://127.0.0.1:8099", audience="callgate")
    token = issuer.mint("rosa")
    await dev_issuer_server(issuer, "127.0.0.1", 8099).serve()
"""

from cli.dev_issuer.app import dev_issuer_app, dev_issuer_server
from cli.dev_issuer.codes import CLIENT_ID
from cli.dev_issuer.issuer import DevIssuer
from cli.dev_issuer.keys import DevKeys
from cli.dev_issuer.people import DEMO_PEOPLE, Person

__all__ = ["CLIENT_ID", "DEMO_PEOPLE", "DevIssuer", "DevKeys", "Person", "dev_issuer_app", "dev_issuer_server"]
