"""Policy: decides whether a call may run (step 3), by Cedar and nothing beside it.

Consumes `arguments_masked` and `approved`; emits `allowed`, `denied` and `approval_required`. It trusts the policy set
that it loaded and validated itself, and what masking signed; whatever it cannot judge, it denies.
"""
