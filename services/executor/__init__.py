"""Executor: runs an allowed call once, and says honestly what became of it.

Decides: whether the call's chain authorises the execution; whether an interrupted one may run again. Consumes
`allowed`, and `outcome_settled` where a person has a call run again. Emits `execution_started`, `execution_completed`,
`execution_failed`, `outcome_unknown`. Trusts the log's signatures and its own recount of them, nothing else that a
message says; it alone reads credentials.
"""
