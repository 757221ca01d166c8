"""Settings every test runs under: how hypothesis searches, how its failures are replayed, and `--rewrite`."""

import os
import signal

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever starts the tests in the background of a script has them ignore Ctrl-C, and every process they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# No deadline: the machine's speed is no property of the code. The blob replays a failure anywhere.
settings.register_profile("search", deadline=None, print_blob=True)
# Deterministic: the same examples in every run, so that a red build is red again on the next try.
settings.register_profile("ci", settings.get_profile("search"), derandomize=True, database=None)
# For a long look by hand: HYPOTHESIS_PROFILE=long make test ARGS=tests/core
settings.register_profile("long", settings.get_profile("search"), max_examples=5_000)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "search"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --rewrite` writes the records of the golden scripts anew; their `expect` lines stay as they are."""
    parser.addoption("--rewrite", action="store_true", help="write the records of the golden scripts anew")
