"""MCP servers behind Callgate: their tools found and recorded, their sessions kept, their results carried through.

Decides: which tools can be functions, and whether a server's answer is one. Trusts nothing that a server says: not its
descriptions, hints, names, sizes or the ids of its answers.
"""
