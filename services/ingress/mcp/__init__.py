"""The door for MCP clients: Streamable HTTP at /mcp, the protocols of 2025-11-25 (sessions) and 2026-07-28 (none).

The SDK speaks the protocol; identity, limits and raw arguments stay outside of it: what it gets of a tool call has no
arguments. docs/mcp.md is for whoever connects a client.
"""
