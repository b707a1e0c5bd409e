"""Ingress: the agents' door. Decides who asks and whether a request is well-formed, and nothing else about it.

Steps 1 and the answer after 7 of docs/call-lifecycle.md. Consumes no deliveries: it listens to the broker's
republication of the calls that it holds open, and reads the log. Emits `requested` and `cancelled`.
Trusted with tokens, and with raw arguments in memory while it seals them; it can open masked views alone.
"""
