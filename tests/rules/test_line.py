"""The waiting line's log events, in order."""

from dialer.rules.line import LineEvent, WaitingLine


def test_the_scenario_of_seven_jobs_at_limit_three() -> None:
    line = WaitingLine()
    events = line.arrive([(n, n - 1) for n in range(1, 8)], active=0, room=3)
    queued = [(e.job_id, e.queue_len) for e in events if e.event == "OUTBOUND_QUEUED"]
    assert [e.job_id for e in events if e.event == "OUTBOUND_ENQUEUE"] == [1, 2, 3, 4, 5, 6, 7]
    assert queued == [(4, 1), (5, 2), (6, 3), (7, 4)]
    assert [line.dialed(n, n) for n in (1, 2, 3)] == [[], [], []]
    assert line.dialed(4, 3) == [LineEvent("OUTBOUND_NEXT", 4, 3)]
    assert line.waiting() == 3


def test_a_job_that_comes_back_waits_and_is_next_again() -> None:
    line = WaitingLine()
    line.arrive([(1, 0)], active=0, room=3)
    line.dialed(1, 1)
    assert line.came_back(1, 0) == [LineEvent("OUTBOUND_QUEUED", 1, 0, 1)]
    assert line.dialed(1, 1) == [LineEvent("OUTBOUND_NEXT", 1, 1)]


def test_a_job_never_seen_is_announced_when_it_is_dialed() -> None:
    assert WaitingLine().dialed(9, 1) == [LineEvent("OUTBOUND_ENQUEUE", 9, 1)]


def test_no_job_is_announced_twice() -> None:
    line = WaitingLine()
    line.arrive([(1, 0)], active=0, room=0)
    assert line.arrive([(1, 0), (2, 1)], active=0, room=0)[0].job_id == 2
