"""What the services share and nothing else: events, subjects, the life of a call, functions.

No I/O, no clock, no randomness. Every wire name is written down here, never derived from a Python path.
"""
