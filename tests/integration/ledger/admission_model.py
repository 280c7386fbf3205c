"""What the admission queue should do, said simply: the model that ``test_admission_model.py`` holds the ledger against.

The model knows runs, their phases and the order in which they wait. It does not say whom the ledger must grant; it
checks that what was granted could be: heads of their lanes, within tokens and slots, nobody passed over, none left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dagy_queue.ledger import Grant, Phase
from dagy_queue.ledger.admission import Limits

WAITING = {Phase.HELD, Phase.RETRYING}
IN_FLIGHT = {Phase.SUBMITTING, Phase.SUBMITTED, Phase.PROVISIONING, Phase.PENDING, Phase.RUNNING}


@dataclass(slots=True)
class Batch:
    """A batch, its window and the shards that wait for it."""

    batch_id: str
    window: int | None
    shards: list[Run] = field(default_factory=list)

    @property
    def inside(self) -> list[Run]:
        """The shards that the window has let through."""
        return [run for run in self.shards if run.inside]


@dataclass(slots=True)
class Run:
    """A run as the model knows it. ``place`` is where it waits: lane, window, delayed; '' is nowhere."""

    run_id: str
    pool: str
    org: str
    priority: int
    cpu: int
    timeout: bool = False
    batch: Batch | None = None
    shard: int = 0
    phase: Phase = Phase.HELD
    place: str = ""
    order: int = 0
    attempt: int = 1
    retries: int = 0
    version: int = 0
    inside: bool = False
    has_task: bool = False
    has_clock: bool = False
    clock_started: bool = False
    cancelled: bool = False
    late: bool = False
    resumed: int = 0
    asked: int = 0
    """The attempt whose launch was asked for, and not answered; 0 is none."""
    leader: Run | None = None
    """Whose container it shares."""
    crew: list[Run] = field(default_factory=list)

    @property
    def cluster(self) -> str:
        """Where its slot is."""
        return self.pool.partition("|")[0]

    @property
    def arn(self) -> str:
        """The task that ECS answers this attempt with, however often it is asked."""
        region = self.pool.partition("/")[0]
        return f"arn:aws:ecs:{region}:1:task/dagy/{self.run_id}-{self.attempt}"

    @property
    def turn(self) -> tuple[int, int, str]:
        """Its place in its lane."""
        return self.priority, self.order, self.run_id

    @property
    def live_crew(self) -> list[Run]:
        """Those that share its container."""
        return [run for run in self.crew if run.leader is self and run.phase in WAITING | IN_FLIGHT]

    def go_to(self, phase: Phase) -> None:
        """Change the phase, and that of those who share the container."""
        self.phase = phase
        for run in self.live_crew:
            run.phase = phase

    def start_clock(self) -> None:
        """Its timeout begins with its first task, and ends once; so does that of those who share the container."""
        if not self.clock_started:
            for run in [self, *self.live_crew]:
                run.clock_started, run.has_clock = True, self.timeout

    @property
    def must_stop(self) -> bool:
        """Whether it has a task that must be stopped: it is out of time, or nobody in the container is wanted."""
        nobody_wanted = self.cancelled and all(run.cancelled for run in self.live_crew)
        return self.phase in IN_FLIGHT and self.has_task and (nobody_wanted or self.late)


class Model:
    """All runs, the tokens left, and who was served since somebody else began to wait."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.runs: dict[str, Run] = {}
        self.batches: list[Batch] = []
        self.taken: Counter[str] = Counter()
        self.served_while_waiting: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self.kept: dict[str, Run] = {}
        """For whom CPU is kept in a cluster: runs that have waited for it long enough."""
        self._sequence = 0

    def enter(self, run: Run, *, front: bool = False) -> None:
        """Let a run go to its lane, or to its batch's window."""
        batch = run.batch
        if batch is not None and batch.window is not None and not run.inside:
            if len(batch.inside) >= batch.window:
                run.place, run.order = "window", -1 if front else run.shard
                return
            run.inside = True
        self._sequence += 1
        run.place, run.order = "lane", 0 if front else self._sequence

    def leave(self, run: Run) -> None:
        """Take a run out of where it waits, and let the next through the window."""
        run.place = ""
        if run.inside:
            run.inside = False
            self.fill(run.batch)

    def fill(self, batch: Batch | None) -> None:
        """Let shards through a window."""
        if batch is None or batch.window is None:
            return
        waiting = sorted(
            (run for run in batch.shards if run.place == "window"), key=lambda run: (run.order, run.run_id)
        )
        for run in waiting[: batch.window - len(batch.inside)]:
            self.enter(run)

    def stop(self, run: Run) -> None:
        """End a run's attempt, and that of those who share its container."""
        for each in [run, *run.live_crew]:
            each.phase = Phase.STOPPED
            each.resumed += 1
            self.leave(each)

    def drop(self, run: Run) -> None:
        """Cancel a run that waits; another one leads its crew."""
        self.hand_over(run)
        self.stop(run)

    def drop_cancelled(self, run: Run) -> None:
        """A run is dropped that was cancelled while a dispatcher had it, which died."""
        if not all(member.cancelled for member in run.live_crew):
            self.hand_over(run)
        self.stop(run)

    def hand_over(self, run: Run) -> None:
        """Another one leads the crew of a run, and waits; with a new attempt, if the last one may have a task."""
        crew, run.crew, run.leader = run.live_crew, [], None
        for number, each in enumerate(crew):
            each.attempt += run.asked == run.attempt
            each.phase = Phase.HELD
            each.leader, each.crew = (crew[0], []) if number else (None, crew[1:])
        if crew:
            self.enter(crew[0], front=True)

    def expire_lease(self, run: Run) -> None:
        """What becomes of a run whose dispatcher died."""
        run.asked = run.attempt
        run.go_to(Phase.HELD)
        self.enter(run, front=True)

    def end_delay(self, run: Run) -> None:
        """What becomes of a run whose delay is over."""
        was_refused = run.phase is Phase.HELD
        run.phase = Phase.HELD
        self.enter(run, front=was_refused)

    def end_time(self, run: Run) -> None:
        """What becomes of a run whose timeout is over."""
        if run.phase in WAITING:
            run.late, run.has_clock = True, False
            self.stop(run)
        elif run.phase in IN_FLIGHT:
            run.has_clock = False
            leader = run.leader or run
            for each in [leader, *leader.live_crew]:
                each.late = True

    def in_flight(self) -> Iterator[Run]:
        """Yield the runs that have a slot."""
        return (run for run in self.runs.values() if run.phase in IN_FLIGHT and run.leader is None)

    def slots(self, cluster: str) -> Counter[str]:
        """Return the slots in use, as the ledger names them."""
        used: Counter[str] = Counter()
        for run in self.in_flight():
            if run.cluster == cluster:
                used.update({"tasks": 1, f"tasks:{run.org}": 1, "cpu": run.cpu, f"cpu:{run.org}": run.cpu})
        return used

    def heads(self) -> dict[tuple[str, str], Run]:
        """Return the first run of each lane that may be granted; those that are cancelled are dropped on the way."""
        found: dict[tuple[str, str], Run] = {}
        waiting = (run for run in self.runs.values() if run.place == "lane" and not run.cancelled)
        for run in sorted(waiting, key=lambda run: run.turn, reverse=True):
            found[run.pool, run.org] = run
        return found

    def fits(self, run: Run) -> bool:
        """Tell whether there are slots for a run, and are not kept for another one."""
        return self.lacks(run) == set() and not self.is_kept_back(run)

    def lacks(self, run: Run) -> set[str]:
        """Return the slots that a run would need and are not there."""
        used, limits = self.slots(run.cluster), self.limits
        wanted = [
            ("tasks", 1, limits.tasks),
            (f"tasks:{run.org}", 1, limits.org_tasks),
            ("cpu", run.cpu, limits.cpu),
            (f"cpu:{run.org}", run.cpu, limits.org_cpu),
        ]
        return {name for name, more, most in wanted if most is not None and used[name] + min(more, most) > most}

    def lacks_only_cpu(self, run: Run) -> bool:
        """Tell whether a run would go if its cluster had the CPU, and any task."""
        return self.heads().get((run.pool, run.org)) is run and self.lacks(run) <= {"cpu", "tasks"}

    def is_kept_back(self, run: Run) -> bool:
        """Tell whether a run would take what is kept for another one, and is not before it in their org."""
        kept = self.kept.get(run.cluster)
        if kept is None or kept is run or not self.lacks_only_cpu(kept):
            return False
        return run.org != kept.org or (run.priority, run.order) >= (kept.priority, kept.order)

    def waits_for_cpu(self) -> set[str]:
        """Return the clusters in which a run could go now if there were the CPU, and has tokens."""
        waiting = (run for run in self.heads().values() if self.has_tokens(run) and not self.is_kept_back(run))
        return {run.cluster for run in waiting if self.lacks(run) == {"cpu"}}

    def compare_kept(self, marks: Mapping[str, tuple[str, bool]]) -> None:
        """Check who is remembered in each cluster, with whether it has waited long enough, and take it over."""
        for cluster, run in list(self.kept.items()):
            if marks.get(cluster) != (run.run_id, True):
                assert not self.lacks_only_cpu(run), f"{run} waits for CPU and is forgotten"
                del self.kept[cluster]
        assert {cluster for cluster, (_, has_waited) in marks.items() if has_waited} == set(self.kept)

    def buckets(self, run: Run) -> list[tuple[str, float]]:
        """Return the buckets that a launch takes from, with their sizes."""
        region, _, rest = run.pool.partition("/")
        found = [(f"calls:{region}", self.limits.calls)]
        capacities = rest.partition("|")[2].split("+")
        found += [(f"launches:{region}:{c}", self.limits.launches) for c in capacities if c.startswith("FARGATE")]
        return [(name, rate.burst) for name, rate in found if rate is not None]

    def has_tokens(self, run: Run) -> bool:
        """Tell whether there are tokens for a run."""
        return all(self.taken[name] + 1 <= burst for name, burst in self.buckets(run))

    def grantable(self) -> dict[tuple[str, str], Run]:
        """Return the heads of lanes that could be granted now."""
        return {lane: run for lane, run in self.heads().items() if self.fits(run) and self.has_tokens(run)}

    def granted(self, grants: Iterable[Grant], most: int) -> None:
        """Check what a call granted, one grant after the other, and take it over."""
        number = 0
        for grant in grants:
            number += 1
            run = self.runs[grant.attempt_id.run_id]
            could = self.grantable()
            assert could.get((run.pool, run.org)) is run, f"{run} is not the next of its lane, or has no room"
            assert (grant.attempt_id.attempt, grant.retries) == (run.attempt, run.retries)
            self._check_turn(run, set(could))
            for name, _ in self.buckets(run):
                self.taken[name] += 1
            crew = [(member.attempt_id.run_id, member.attempt_id.attempt, member.shard) for member in grant.crew]
            assert crew == [(other.run_id, other.attempt, other.shard) for other in run.live_crew]
            run.go_to(Phase.SUBMITTING)
            run.place = ""
            if run.cluster in self.kept and self.kept[run.cluster].org == run.org:
                del self.kept[run.cluster]  # it has gone itself, or lets the others pass for a while again
        assert number <= most
        assert number == most or not self.grantable(), "somebody could have been granted"

    def _check_turn(self, run: Run, could: set[tuple[str, str]]) -> None:
        """Nobody is served twice while another one of its pool, or another pool, waits and could be served."""
        lane = (run.pool, run.org)
        pools = {(pool, "") for pool, _ in could}
        waiting = {k: v for k, v in self.served_while_waiting.items() if k in could | pools}
        for other in could:
            if other[0] == run.pool and other != lane:
                assert lane not in waiting.setdefault(other, set()), f"{lane} was served twice while {other} waited"
                waiting[other].add(lane)
        for pool in pools - {(run.pool, "")}:
            assert (run.pool, "") not in waiting.setdefault(pool, set()), f"{run.pool} twice while {pool} waited"
            waiting[pool].add((run.pool, ""))
        waiting.pop(lane, None)
        waiting.pop((run.pool, ""), None)
        self.served_while_waiting = waiting
