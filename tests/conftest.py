"""What every test stands on: compiled modules no older than their sources, a machine."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.house.tree import build

# A duration is nothing to assert on a busy host.
settings.register_profile("smpmm", deadline=None)
settings.load_profile("smpmm")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script has started the suite in the background. What the tests start is to be
        # interrupted, and would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return  # the process that started this xdist worker has looked
    outdated = build().outdated()
    if outdated:
        reasons = "".join(f"\n    {name} {reason}" for name, reason in outdated.items())
        raise pytest.UsageError(
            "The tests do not start with compiled modules that are missing or older than "
            f"their sources: run `make build`.{reasons}"
        )


@pytest.fixture
def machine() -> Iterator[object]:
    """A machine of two CPUs, closed after the test. Functions of test modules go by value."""
    from cpus import ship
    from smpmm.machine import Machine

    ship.register_by_value("tests")
    with Machine(cpus=2) as machine:
        yield machine
