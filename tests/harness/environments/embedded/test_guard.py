"""The lease behind ``rds.global_db_rpo``: how long ago the standby is known to have held everything."""

from harness.environments.embedded.aws.guard import Lease, lsn


def test_a_standby_that_has_flushed_all_confirms_up_to_when_it_said_so() -> None:
    lease = Lease(0.0)
    assert lease.seen(10.0, written=100, flushed=100, replied=9.5)
    assert lease.confirmed == 9.5


def test_a_standby_that_is_behind_confirms_only_what_was_written_when_it_had_it() -> None:
    lease = Lease(0.0)
    lease.seen(10.0, written=100, flushed=50, replied=10.0)
    assert lease.confirmed == 0.0
    lease.seen(11.0, written=200, flushed=100, replied=11.0)
    assert lease.confirmed == 10.0


def test_a_silent_standby_confirms_nothing_though_nothing_is_written() -> None:
    lease = Lease(0.0)
    lease.seen(10.0, written=100, flushed=100, replied=10.0)
    for at in (11.0, 12.0, 13.0):
        lease.seen(at, written=100, flushed=100, replied=10.0)
    assert lease.confirmed == 10.0


def test_a_standby_that_answers_over_a_link_that_brings_it_nothing_confirms_nothing_new() -> None:
    lease = Lease(0.0)
    lease.seen(10.0, written=100, flushed=100, replied=10.0)
    lease.seen(11.0, written=150, flushed=100, replied=11.0)
    lease.seen(12.0, written=180, flushed=100, replied=12.0)
    assert lease.confirmed == 10.0


def test_a_standby_that_is_not_connected_confirms_nothing() -> None:
    lease = Lease(5.0)
    assert not lease.seen(10.0, written=100, flushed=None, replied=None)
    assert lease.confirmed == 5.0


def test_positions_in_the_log_are_ordered_across_its_halves() -> None:
    assert lsn("1/0") > lsn("0/FFFFFFFF")
