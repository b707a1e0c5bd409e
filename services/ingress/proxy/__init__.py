"""The transparent proxy: an agent's HTTP client points at `/proxy/<connection>` and needs no other change.

A request is told into a function of the connection and its arguments, becomes a call like any other, and the function's
own answer comes back, masked. docs/proxy.md says what goes through, and what does not.
"""
