"""Whether the records of the golden scripts are compared or written anew."""

import pytest


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether records are to be written instead of compared."""
    return bool(request.config.getoption("--rewrite"))
