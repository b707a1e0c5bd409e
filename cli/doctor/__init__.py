"""`callgate doctor`: what stands as it should on this machine and on the broker, and what to do where it does not."""

from cli.doctor.examination import examine

__all__ = ["examine"]
