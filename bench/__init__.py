"""`make bench`: the whole path, from the agent's request to its answer, measured as its users meet it."""
