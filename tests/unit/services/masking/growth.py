"""Whether a cost grows faster than its input. A machine has other work too, so one look in which it does not is enough:
what is superlinear is so each time."""

from collections.abc import Callable

_LOOKS = 6


def superlinear(cost: Callable[[int], float], size: int, *, least: float = 0.005) -> bool:
    """Whether ten times `size` costs over forty times as much; costs below `least` seconds count as that."""
    cost(size // 10)
    return all(cost(10 * size) > 40 * max(cost(size), least) for _ in range(_LOOKS))
