"""Decides, by people's votes, on calls that policy holds back (step 4 of docs/call-lifecycle.md).

Consumes `approval_required`, `vote_cast` and due timers; emits `vote_cast`, `approved`, `rejected` and
`approval_expired`. It trusts the log and tokens of the configured issuers, sees the masked view alone, and what it
approves authorises nothing until policy has judged once more. Whom it shows arguments is on ACCESS first.
"""
