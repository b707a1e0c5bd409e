"""What the demo, the tests and the benchmark call: an upstream API that knows nothing of Callgate."""
