import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads of small products wait for one another longer than they work, many times as long on busy cores."""
    with threadpool_limits(1):
        yield
