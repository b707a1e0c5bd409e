"""Audit: decides nothing; shows what happened, to those whom policy lets look, and proves that the log is whole.

Consumes every event of every partition into a projection in SQL, for finding things; what it shows of a call and what
it verifies comes straight from the log. Emits who looked at what and alarms on ACCESS, and nothing on CALLS.
Trusts signatures and the chain, never the projection.
"""
