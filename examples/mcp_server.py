"""The demo MCP server: the notes of a support team, as tools of the official SDK.

python -m examples.mcp_server            over standard input and output
python -m examples.mcp_server --port N   over Streamable HTTP, at http://127.0.0.1:N/mcp
"""

import argparse
from typing import Annotated

from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field


class Note(BaseModel):
    """One note of a customer."""

    number: int
    customer: str
    text: str


def build() -> MCPServer:
    """A server with notes of its own."""
    notes = [
        Note(number=1, customer="c-1001", text="Called about invoice 77. Reach her at rosa.martinez@example.com."),
        Note(number=2, customer="c-1002", text="Card 4111 1111 1111 1111 was declined; wants another way to pay."),
    ]
    server = MCPServer("support-notes", version="1.0.0")

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
    parser.add_argument("--port", type=int, help="serve Streamable HTTP on this port of loopback")
    port = parser.parse_args().port
    if port is None:
        build().run("stdio")
    else:
        build().run("streamable-http", host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
