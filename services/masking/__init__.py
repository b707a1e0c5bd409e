"""Masking: decides what in arguments and results is sensitive, and what everybody else gets to see of it.

Consumes `requested`, `arguments_amended`, the executor's results and those that people settle; emits `arguments_masked`
and `result_masked`. Trusted with raw payloads in memory; writes no plaintext anywhere and reaches nothing
beside NATS.
"""
