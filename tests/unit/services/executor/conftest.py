import pytest
from executor_scene import Scene

from services.executor import handlers


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(handlers, "_PAUSE", (0.0, 0.0))
    return Scene()
