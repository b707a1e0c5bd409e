"""The demo MCP server: the notes of a support team, as tools of the official SDK.

python -m examples.mcp_server            over standard input and output
python -m examples.mcp_server --port N   over Streamable HTTP, at http://127.0.0.1:N/mcp
python -m examples.mcp_server --fd N     the same, on a socket that listens already
"""

import argparse
import socket
from typing import Annotated, Final

import uvicorn
from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

CARD: Final = "4111 1111 1111 1111"
"""Of a customer: a test number of the card industry."""


class Note(BaseModel):
    """One note of a customer."""

    number: int
    customer: str
    text: str


def build() -> MCPServer:
    """A server with notes of its own."""
    notes = [
        Note(number=1, customer="c-1001", text="Called about invoice 77. Reach her at rosa.martinez@example.com."),
        Note(number=2, customer="c-1002", text=f"Card {CARD} was declined; wants another way to pay."),
    ]
    server = MCPServer("support-notes", version="1.0.0", log_level="ERROR")

    @server.tool(title="Search notes", annotations=ToolAnnotations(read_only_hint=True))
    def search_notes(customer: Annotated[str, Field(description="A customer's id, e.g. c-1001.")]) -> list[Note]:
        """The notes about a customer."""
        return [note for note in notes if note.customer == customer]

    @server.tool(title="Add a note", annotations=ToolAnnotations(destructive_hint=False))
    def add_note(customer: str, text: str) -> Note:
        """Adds a note about a customer."""
        notes.append(Note(number=len(notes) + 1, customer=customer, text=text))
        return notes[-1]

    @server.tool(title="Delete all notes", annotations=ToolAnnotations(destructive_hint=True))
    def delete_notes(customer: str) -> str:
        """Deletes every note about a customer."""
        kept = [note for note in notes if note.customer != customer]
        gone, notes[:] = len(notes) - len(kept), kept
        return f"{gone} deleted"

    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo MCP server.")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--port", type=int, help="serve Streamable HTTP on this port of loopback")
    place.add_argument("--fd", type=int, help="serve it on the listening socket of this number")
    given = parser.parse_args()
    if given.port is None and given.fd is None:
        build().run("stdio")
        return
    listener = socket.create_server(("127.0.0.1", given.port)) if given.fd is None else socket.socket(fileno=given.fd)
    config = uvicorn.Config(build().streamable_http_app(), log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
