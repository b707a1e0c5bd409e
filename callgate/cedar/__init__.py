"""Cedar for the services that ask it: a schema from the functions' JSON Schemas, values, and parsed policy sets.

`shapes` types a function's input, `schema` writes Cedar's schema from that, `values` and `facts` turn arguments into
a context of that type, `policies` loads and evaluates. Pure apart from parsing; no business rule stands here.
"""
