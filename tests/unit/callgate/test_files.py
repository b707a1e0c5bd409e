"""The limit of open files is raised as far as the system lets us, and never lowered."""

import resource
from collections.abc import Iterator

import pytest

from callgate.files import allow_open_files


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The process's own limit and the system's, put back afterwards."""
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield found
    resource.setrlimit(resource.RLIMIT_NOFILE, found)


def test_it_is_raised_as_far_as_may_be(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert allow_open_files(512) == 512
    assert allow_open_files(300) == 512
    if hard != resource.RLIM_INFINITY:
        assert allow_open_files(hard + 1) == hard
