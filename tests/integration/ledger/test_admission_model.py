"""The admission queue held against a simple model, on a real Redis, over random lives of runs and batches.

Time is the test's: delays, leases and timeouts are long, and end when a rule says so; buckets only have their burst,
and are full again when a rule says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dagy_queue.ids import AttemptId, new_id, shard_id
from dagy_queue.ledger import (
    AdmissionLedger,
    BatchLedger,
    Cancelled,
    Continuation,
    Phase,
    RedisConnection,
    RunLedger,
    RunStatus,
)
from dagy_queue.ledger.admission import Limits, Noted, Rate, Released
from dagy_queue.ledger.attempts import NextAttempt
from dagy_queue.ledger.runs import Applied, Observation, Place
from tests.integration.ledger.admission_look import (
    FAN_OUT,
    FINAL,
    ORGS,
    POOLS,
    RESUMED,
    everything_in,
    everything_of,
    marks_in,
    places_of,
)
from tests.integration.ledger.admission_model import IN_FLIGHT, WAITING, Batch, Model, Run

SAME_CLUSTER = dict(zip(POOLS[:2], POOLS[1::-1], strict=True))
"""Where a run of a pool may go on that changes its capacity."""
ORPHANED = "its run is over"
ENDED = {"outcome": {"kind": "succeeded", "summary": "ok"}}
LONG = 1_000_000.0
EVENTS = [Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING, None]

few = st.integers(1, 6)
rates = st.none() | few.map(lambda burst: Rate(1e-9, burst))
limits = st.builds(
    Limits,
    calls=rates,
    launches=rates,
    tasks=st.none() | few,
    cpu=st.none() | st.integers(4, 12),
    org_tasks=st.none() | few,
    org_cpu=st.none() | st.integers(4, 12),
    patience=st.just(LONG),
)
places = st.builds(
    Place,
    pool=st.sampled_from(POOLS),
    org=st.sampled_from(ORGS),
    priority=st.integers(0, 2),
    cpu=st.integers(0, 4),
    timeout=st.sampled_from([None, LONG]),
)
picks = st.integers(0, 1_000_000)


class Admission(RuleBasedStateMachine):
    """Several dispatchers, and everything that may happen to runs."""

    connection: RedisConnection
    others: list[RedisConnection]

    @initialize(limits=limits)
    def begin(self, limits: Limits) -> None:
        self.connection.client.flushdb()
        self.ledgers = [AdmissionLedger(connection) for connection in (self.connection, *self.others)]
        self.run_ledger, self.batch_ledger = RunLedger(self.connection), BatchLedger(self.connection)
        self.model = Model(limits)
        self.attempts: list[AttemptId] = []

    def key(self, *parts: str) -> str:
        return self.connection.key(*parts)

    def some(self, pick: int, wanted: Callable[[Run], bool]) -> Run | None:
        """Return one of the runs that are wanted; None if there is none."""
        found = [run for run in self.model.runs.values() if wanted(run)]
        return found[pick % len(found)] if found else None

    @rule(place=places)
    def park(self, place: Place) -> None:
        run_id = f"r{len(self.model.runs):03}"
        message = Continuation(RESUMED, "{}")
        self.run_ledger.park(run_id, request={}, continuation=message, place=place, expires=None, about={})
        run = Run(run_id, place.pool, place.org, place.priority, place.cpu, timeout=place.timeout is not None)
        self.model.runs[run_id] = run
        self.model.enter(run)

    @rule(
        place=places,
        shards=st.integers(1, 6),
        window=st.none() | st.integers(1, 3),
        split=st.integers(0, 6),
        per_run=st.integers(1, 3),
    )
    def fan_out(self, place: Place, shards: int, window: int | None, split: int, per_run: int) -> None:
        batch = Batch(new_id(), window)
        about = {"request": "{}", "callback_id": "c", "correlation": "c", "org": place.org, "ender": "end"}
        fan_out = Continuation(FAN_OUT, batch.batch_id)
        self.batch_ledger.publish(batch.batch_id, fan_out, deltas=[{}] * shards, fields=about)
        self.batch_ledger.prepare(batch.batch_id, Continuation(RESUMED, "{}"), place, window=window, per_run=per_run)
        ids = [shard_id(batch.batch_id, n) for n in range(shards)]
        self.model.batches.append(batch)
        for first, part in ((0, ids[:split]), (split, ids[split:]), (0, ids[:1])):
            if not part:
                continue
            self.batch_ledger.enter_shards(batch.batch_id, first, [(run_id, {}) for run_id in part])
            new = [
                Run(i, place.pool, place.org, place.priority, place.cpu, place.timeout is not None, batch, first + n)
                for n, i in enumerate(part)
                if i not in self.model.runs
            ]
            batch.shards += new
            for number, run in enumerate(new):
                self.model.runs[run.run_id] = run
                if number % per_run:
                    run.leader = new[number - number % per_run]
                else:
                    run.crew = new[number + 1 : number + per_run]
            for run in new[::per_run]:
                self.model.enter(run)

    @rule(most=st.integers(1, 8), who=st.integers(0, 2))
    def lease(self, most: int, who: int) -> None:
        granted = self.ledgers[who].lease(most, LONG, self.model.limits, ENDED)
        for run in [run for run in self.model.runs.values() if run.place == "lane" and run.cancelled]:
            if self.run_ledger.get(run.run_id).phase is Phase.STOPPED:
                self.model.drop_cancelled(run)
        self.model.granted(granted.grants, most)
        marks = marks_in(self.connection)
        self.model.compare_kept(marks)
        assert len(granted.grants) == most or self.model.waits_for_cpu() <= set(marks), "nobody remembers who waits"
        self.attempts += [grant.attempt_id for grant in granted.grants]
        must_stop = {run.arn for run in self.model.runs.values() if run.must_stop}
        wanted = {task.task_arn for task in granted.unwanted if task.reason != ORPHANED}
        assert wanted <= must_stop
        lacks_tokens = [r for r in self.model.heads().values() if self.model.fits(r) and not self.model.has_tokens(r)]
        leased = any({"leases", "delayed"} & {*places_of(run)} for run in self.model.runs.values())
        if leased or (lacks_tokens and not granted.more):
            assert granted.next_due is not None, "nobody will come back for what waits"

    @rule(pick=picks, ids=st.sets(picks, max_size=3))
    def time_passes(self, pick: int, ids: set[int]) -> None:
        """Some leases, delays and timeouts end, in this order; the next call for grants finds that."""
        chosen = [run for n in sorted({pick, *ids}) if (run := self.some(n, lambda _: True)) is not None]
        chosen = list({run.run_id: run for run in chosen}.values())
        client = self.connection.client
        for name in ("leases", "delayed", "deadlines"):
            for order, run in enumerate(chosen):
                client.zadd(self.key(name), {run.run_id: order}, xx=True)
        self.ledgers[0].lease(0, LONG, self.model.limits, ENDED)
        for run in (run for run in chosen if run.phase is Phase.SUBMITTING and run.leader is None):
            self.model.expire_lease(run)
        for run in (run for run in chosen if run.place == "delayed"):
            self.model.end_delay(run)
        for run in (run for run in chosen if run.has_clock):
            self.model.end_time(run)

    @precondition(lambda self: self.model.limits.cpu is not None)
    @rule(orgs=st.permutations(ORGS), pool=st.sampled_from(POOLS[:2]), behind=st.lists(places, max_size=3))
    def a_large_run_waits(self, orgs: list[str], pool: str, behind: list[Place]) -> None:
        """CPU is kept for a run that needs all there is: rare otherwise, for most calls take all that waits."""
        self.park(Place(pool=POOLS[0], org=orgs[0], cpu=1))
        self.lease(8, 0)
        self.park(Place(pool=pool, org=orgs[1], priority=1, cpu=self.model.limits.cpu or 0))
        self.lease(8, 0)
        self.large_runs_have_waited()
        for place in behind:
            self.park(replace(place, pool=POOLS[POOLS.index(place.pool) % 2]))
        self.lease(8, 1)

    @rule()
    def large_runs_have_waited(self) -> None:
        """What becomes free is kept from now on for those that are remembered."""
        for cluster, (run_id, _) in marks_in(self.connection).items():
            self.connection.client.hset(self.key("large", cluster), "since", 0)
            self.model.kept[cluster] = self.model.runs[run_id]

    @rule()
    def tokens_come(self) -> None:
        for key in self.connection.client.scan_iter(self.key("bucket", "*")):
            self.connection.client.delete(key)
        self.model.taken.clear()

    @precondition(lambda self: self.attempts)
    @rule(pick=picks)
    def launched(self, pick: int) -> None:
        """A dispatcher notes its task, perhaps long after its lease has ended."""
        self.note_launch(self.attempts[pick % len(self.attempts)])

    @rule(pick=picks)
    def come_back(self, pick: int) -> None:
        """A run is launched, ends, is tried again and waits: what only shows in later attempts is seen sooner."""
        run = self.some(pick, lambda run: run.phase is Phase.SUBMITTING and run.leader is None)
        if run is not None:
            self.note_launch(AttemptId(run.run_id, run.attempt))
            self.end_attempt(run)
            self.try_again(run)

    def note_launch(self, attempt_id: AttemptId) -> None:
        run = self.model.runs[attempt_id.run_id]
        arn = run.arn
        noted = self.ledgers[0].launched(attempt_id, arn)
        if run.attempt != attempt_id.attempt or run.phase not in IN_FLIGHT | WAITING:
            assert noted is (Noted.NOTED if run.attempt == attempt_id.attempt and run.has_task else Noted.STALE)
            return
        assert noted is Noted.NOTED
        run.start_clock()
        run.has_task, run.asked = True, 0
        if run.phase in (Phase.SUBMITTING, Phase.HELD):
            run.go_to(Phase.SUBMITTED)
            run.place = ""

    @precondition(lambda self: self.attempts)
    @rule(pick=picks, new_attempt=st.booleans(), throttled=st.booleans(), again=st.booleans())
    def release(self, pick: int, new_attempt: bool, throttled: bool, again: bool) -> None:
        """A dispatcher was refused, perhaps long after its lease has ended."""
        attempt_id = self.attempts[pick % len(self.attempts)]
        run = self.model.runs[attempt_id.run_id]
        region = run.pool.partition("/")[0]
        throttle = self.key("throttle", region)
        before = float(self.connection.client.hget(throttle, "factor") or 1)  # type: ignore[arg-type]
        self.connection.client.hset(throttle, "at", self.now() - (5_000 if again else 20_000))
        released = self.ledgers[1].release(
            attempt_id, delay=LONG, new_attempt=new_attempt, give_up_after=LONG, reason="no", throttled=throttled
        )
        if run.phase is not Phase.SUBMITTING or run.attempt != attempt_id.attempt:
            assert released is Released.STALE
            return
        if run.cancelled:
            assert released is Released.CANCELLED
            assert self.run_ledger.complete(attempt_id, ENDED) is Applied.RESUMED
            self.model.drop_cancelled(run)
            return
        if throttled:
            after = float(self.connection.client.hget(throttle, "factor") or 1)  # type: ignore[arg-type]
            assert after == (max(0.05, before / 2) if again else before)
            self.model.taken[f"calls:{region}"] = 1_000
        if run.late:
            assert released is Released.EXPIRED
            self.end(run)
            return
        assert released is Released.HELD
        run.go_to(Phase.HELD)
        run.place = "delayed"
        run.attempt += new_attempt

    def now(self) -> int:
        seconds, micros = self.connection.client.time()  # type: ignore[misc]
        return int(seconds * 1000 + micros // 1000)

    def end(self, run: Run) -> None:
        """The launcher ends a run that is not to be launched any more."""
        assert self.run_ledger.complete(AttemptId(run.run_id, run.attempt), ENDED) is Applied.RESUMED
        self.model.stop(run)

    @rule(pick=picks, phase=st.sampled_from(EVENTS), old=st.booleans())
    def observe(self, pick: int, phase: Phase | None, old: bool) -> None:
        """An event of a task arrives, perhaps before its dispatcher has noted it."""
        run = self.some(pick, lambda run: AttemptId(run.run_id, run.attempt) in self.attempts)
        if run is None:
            return
        old = old and run.version > 0
        version = run.version if old else run.version + 1
        event = Observation(
            attempt_id=AttemptId(run.run_id, run.attempt), version=version, task_arn=run.arn, phase=phase
        )
        (answer,) = self.run_ledger.apply([event])
        if old or run.phase not in IN_FLIGHT | {Phase.HELD}:
            assert answer is Applied.STALE
            return
        assert answer is Applied.APPLIED
        run.start_clock()
        run.version, run.has_task, run.place, run.asked = version, True, "", 0
        unseen = run.phase in (Phase.SUBMITTING, Phase.HELD)
        run.go_to(phase or (Phase.SUBMITTED if unseen else run.phase))

    @rule(pick=picks)
    def complete(self, pick: int) -> None:
        run = self.some(pick, lambda run: run.phase in IN_FLIGHT)
        if run is not None:
            self.end_attempt(run)

    def end_attempt(self, run: Run) -> None:
        attempt_id = AttemptId(run.run_id, run.attempt)
        answers = [self.run_ledger.complete(attempt_id, ENDED, run.arn) for _ in range(2)]
        assert answers == [Applied.RESUMED, Applied.STALE]
        run.has_task = True
        self.model.stop(run)

    @rule(pick=picks, elsewhere=st.booleans(), cpu=st.none() | st.integers(1, 4))
    def retry(self, pick: int, elsewhere: bool, cpu: int | None) -> None:
        run = self.some(pick, lambda run: run.phase is Phase.STOPPED)
        if run is not None:
            self.try_again(run, SAME_CLUSTER.get(run.pool, "") if elsewhere else "", cpu)

    def try_again(self, run: Run, pool: str = "", cpu: int | None = None) -> None:
        again = NextAttempt(pool=pool, cpu=cpu)
        answer = self.run_ledger.retry(AttemptId(run.run_id, run.attempt), LONG, again)
        assert answer == (None if run.cancelled else run.attempt + 1)
        run.resumed += run.cancelled
        if not run.cancelled:
            run.phase, run.place, run.has_task, run.version = Phase.RETRYING, "delayed", False, 0
            run.attempt, run.retries = run.attempt + 1, run.retries + 1
            run.leader, run.crew = None, []
            run.pool, run.cpu = pool or run.pool, run.cpu if cpu is None else cpu

    @rule(pick=picks, waiting_only=st.booleans())
    def cancel(self, pick: int, waiting_only: bool) -> None:
        run = self.some(pick, lambda _: True)
        if run is None:
            return
        found, _ = self.run_ledger.cancel(run.run_id, "because", ENDED, waiting_only=waiting_only)
        if run.phase is Phase.STOPPED and not (run.cancelled or waiting_only):
            assert found is Cancelled.STOPPED
            run.cancelled = True
        elif run.phase not in WAITING | IN_FLIGHT:
            assert found is Cancelled.FINISHED
        elif run.cancelled and not (run.phase in IN_FLIGHT and run.has_task):
            assert found is Cancelled.ALREADY
        elif run.phase in WAITING:
            assert found is Cancelled.DROPPED
            run.cancelled = True
            self.model.drop(run)
        elif waiting_only:
            assert found is Cancelled.RUNNING
        else:
            assert found is (Cancelled.STOP if (run.leader or run).has_task else Cancelled.SUBMITTING)
            run.cancelled = True

    @rule(pick=picks, status=st.sampled_from(list(FINAL)))
    def finish(self, pick: int, status: RunStatus) -> None:
        run = self.some(pick, lambda run: run.phase is Phase.STOPPED)
        if run is not None:
            answers = [self.run_ledger.finish(AttemptId(run.run_id, run.attempt), status) for _ in range(2)]
            assert answers == [True, False]
            run.phase, run.has_clock = FINAL[status], False

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        for batch in self.model.batches:
            inside = sum(r.place in ("lane", "delayed") or r.phase in IN_FLIGHT for r in batch.shards if r.inside)
            assert inside == len(batch.inside) <= (batch.window or 0)
            waiting = any(run.place == "window" for run in batch.shards)
            assert not waiting or len(batch.inside) == batch.window, "a window has room while shards wait for it"
        found, expected = everything_in(self.connection, self.model), everything_of(self.model)
        assert found == expected


@pytest.mark.timeout(600)  # a failure is made as small as can be, and that takes its time
def test_admission_does_what_the_model_says(connection: RedisConnection) -> None:
    others = [RedisConnection(connection.settings) for _ in range(2)]

    class Machine(Admission):
        pass

    Machine.connection, Machine.others = connection, others
    chosen = settings(
        max_examples=200,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(Machine, settings=chosen)
    finally:
        for other in others:
            other.close()
