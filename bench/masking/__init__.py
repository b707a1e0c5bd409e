"""`python -m bench.masking` (`make bench-masking`): how fast masking is, what it finds, and false alarms."""
