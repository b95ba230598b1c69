"""Whatever happens to Redis under load: no request fails, every one is counted once, nothing that it kept is lost, and who
is cut off from it for too long serves nothing stored."""

import pytest

from redis_faults import FAULTS
from redis_load import run_fault


@pytest.fixture(scope="module")
def contents():
    """What each question was answered with: the same in all runs."""
    return {}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_no_request_fails_and_nothing_is_lost(kind, start, tmp_path, contents):
    fault = kind()
    try:
        outcome = run_fault(fault, start, tmp_path, rounds=60, pace_s=0.1, contents=contents)
    finally:
        fault.tear_down()
    assert not outcome.failed, outcome.failed[:3]
    assert len(outcome.replies) == 16 * 60
    assert not outcome.miscounted
    assert outcome.lost in (0, None)
    served, entries = outcome.served_later
    assert served == entries > 0
    assert outcome.stale == 0
