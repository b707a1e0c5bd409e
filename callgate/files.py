"""Open files: each connection is one, and many systems begin with a limit of 1,024."""

import contextlib
import resource


def allow_open_files(wanted: int) -> int:
    """Raises this process's own limit as far as the system lets it; gives how many it may open then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):  # some systems have another bound beside the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
