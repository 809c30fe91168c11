"""A task is given up on evidence: three deaths of its worker that nothing outside of it explains."""

import itertools

import pytest

from pipeline.runtime.batch.batch_system import JobState
from pipeline.runtime.task_deaths import MAX_DEATHS, TOGETHER_S, UNDECIDED_S, Death, TaskDeaths

WORKERS = (f"tls://worker:{port}" for port in itertools.count(1))
LIVES = JobState("RUNNING")
FAILED = JobState("FAILED", ended=True)
TIMEOUT = JobState("TIMEOUT", ended=True, blameless=True)
WALLTIME_S = 3600.0


def deaths(*tasks, job="job0", at_s=100.0, started_s=90.0, worker=None):
    return [Death(task=task, worker=worker or next(WORKERS), job=job, started_s=started_s, at_s=at_s) for task in tasks]


def judged(record, *found, now_s=1e4):
    for death in found:
        record.died(death)
    return {death.task for death in record.judge(now_s)}


def of_a_job(state):
    return TaskDeaths(lambda job, since_s: state, WALLTIME_S)


def test_a_worker_that_dies_in_a_living_job_speaks_against_its_task_alone():
    record = of_a_job(LIVES)
    for n in range(1, MAX_DEATHS + 1):
        assert judged(record, *deaths(1)) == {1}
        assert record.n_deaths == {1: n}
    assert record.reason(1) == (
        "3 workers died while they had this task. Does it need more memory than its worker has?"
    )


@pytest.mark.parametrize("state", [TIMEOUT, JobState("CANCELLED", ended=True, blameless=True)])
def test_jobs_that_end_at_their_walltime_or_are_cancelled_are_no_evidence_however_often(state):
    record = of_a_job(state)
    for _ in range(20):
        assert judged(record, *deaths(1, 2, 3)) == {1, 2, 3}
    assert not record.n_deaths


def test_a_task_that_has_a_whole_walltime_three_times_needs_longer():
    record = of_a_job(TIMEOUT)
    for _ in range(MAX_DEATHS):
        judged(
            record, *deaths(1, started_s=0, at_s=0.95 * WALLTIME_S), *deaths(2, started_s=3000, at_s=0.95 * WALLTIME_S)
        )
    assert record.n_deaths == {1: 3}
    assert "It had the whole walltime of its job: does it need longer than 3600 s?" in record.reason(1)


def test_of_the_tasks_of_a_job_that_fails_the_one_that_kills_it_is_found_and_the_others_are_not_blamed():
    """Eight tasks on four workers of one job; task 5 ends the job. What is suspected runs one at a time."""
    record = of_a_job(FAILED)
    waiting, given_up, n_jobs = list(range(8)), [], 0
    done: list[int] = []
    while waiting:
        n_jobs += 1
        running: list[int] = []
        for task in list(waiting):
            if len(running) < 4 and record.may_begin(task, running):
                running.append(task)
        if 5 not in running:
            for task in running:
                record.done(task)
                done.append(task)
                waiting.remove(task)
            continue
        judged(record, *deaths(*running, job=f"job{n_jobs}"))
        if record.n_deaths[5] >= MAX_DEATHS:
            given_up.append(5)
            waiting.remove(5)
    assert given_up == [5]
    assert sorted(done) == [0, 1, 2, 3, 4, 6, 7]
    assert n_jobs < 20
    assert "The queue says of the last job: FAILED" in record.reason(5)


def test_an_innocent_task_beside_a_suspect_is_not_counted():
    record = of_a_job(FAILED)
    judged(record, *deaths(1, 2))
    record.done(2)
    judged(record, *deaths(1, 3, job="job1"))
    assert record.n_deaths == {1: 2}


def test_a_task_that_ended_well_begins_anew():
    record = of_a_job(LIVES)
    judged(record, *deaths(1))
    judged(record, *deaths(1))
    record.done(1)
    judged(record, *deaths(1))
    assert record.n_deaths == {1: 1}


def test_nothing_is_decided_before_the_queue_was_asked_but_no_task_waits_for_ever():
    record = of_a_job(None)
    assert judged(record, *deaths(1, at_s=100), now_s=100 + UNDECIDED_S - 1) == set()
    assert record.undecided
    assert judged(record, now_s=100 + UNDECIDED_S) == {1}
    assert not record.n_deaths


def test_without_jobs_workers_that_die_within_seconds_count_as_one_job():
    record = TaskDeaths()
    together = deaths(1, 2, 3, job="", at_s=100)
    assert judged(record, *together, now_s=100 + TOGETHER_S / 2) == set()
    assert judged(record, *deaths(4, job="", at_s=100 + 3 * TOGETHER_S)) == {1, 2, 3, 4}
    assert record.n_deaths == {1: 1, 2: 1, 3: 1, 4: 1}
    judged(record, *deaths(1, 5, 6, job="", at_s=200))
    assert record.n_deaths == {1: 2, 2: 1, 3: 1, 4: 1}
    assert not record.may_begin(2, [1])
    assert record.may_begin(4, [1])
    assert record.may_begin(2, [4, 5])


def test_a_death_that_is_told_twice_counts_once():
    record = TaskDeaths()
    judged(record, *deaths(1, job="", worker="tls://same:1"), *deaths(1, job="", worker="tls://same:1"))
    assert record.n_deaths == {1: 1}
