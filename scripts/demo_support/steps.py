"""The demo itself, step by step: what an application does with the product, and the check of the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from celery.exceptions import ChordError

from dagy_queue import BatchHandle, BatchProgress, DagyQueueError, fan_out
from dagy_queue.aws.clients import AwsClients
from dagy_queue.operate.flows import push_flow
from scripts.demo_support.flights import Answer, cut, direct_answer
from scripts.demo_support.options import Options
from scripts.demo_support.screen import Screen, counted
from scripts.demo_support.services import Services, running

FLOW = Path(__file__).parent.parent / "demo_flows" / "departure_delays.py"
ORG = "demo"
PREFIX = "demo/flights"
UPLOADS = 4
LOOK_SECONDS = 0.1
STALL_SECONDS = 60.0
"""A batch in which no run ends for so long has failed."""
MERGE_SECONDS = 60.0


class DemoFailed(DagyQueueError):
    """The demo did not come to the right answer."""


class Demo:
    """One demonstration."""

    def __init__(self, options: Options, screen: Screen) -> None:
        self._options = options
        self._screen = screen
        self._exit = ExitStack()

    def run(self) -> None:
        """Run everything. Raises DemoFailed or another error of the product; whatever was started is stopped."""
        self._screen.environment_done()
        with self._exit:
            try:
                services = self._start()
                self._compute(services)
                self._keep(services)
            except KeyboardInterrupt:
                self._screen.say("stopping")
                raise

    def _compute(self, services: Services) -> None:
        sources = self._upload(services)
        self._register(services)
        batch = self._enqueue(sources)
        self._screen.follow("runs", self._progress(batch, services))
        answer = self._merged(batch)
        self._check(answer)
        self._screen.answer(answer)
        self._screen.times()

    def _start(self) -> Services:
        against = self._options.against
        doing = (
            f"the application on the stack of {against}"
            if against
            else "Redis, AWS, dispatcher, bridge and application"
        )
        with self._screen.part("stack", f"starting {doing}") as part:
            services = self._exit.enter_context(running(flower=self._options.flower, against=against))
            services.wait_until_ready()
            stack = services.stack
            part.note = f"Redis {stack.redis_url}, AWS {stack.endpoint_url}, dispatcher, bridge, application"
        return services

    def _upload(self, services: Services) -> list[str]:
        """Put each shard's flights where its container finds them; return their URIs."""
        settings = services.stack.settings()
        bucket = settings.storage.artifact_bucket
        with self._screen.part("data", "uploading the flights") as part:
            s3 = AwsClients(settings.aws).s3
            shards = {f"{PREFIX}/{label}/flights.csv.gz": body for label, body in cut(self._options.period).items()}

            def put(item: tuple[str, bytes]) -> None:
                s3.put_object(Bucket=bucket, Key=item[0], Body=item[1])

            with ThreadPoolExecutor(UPLOADS) as pool:
                list(pool.map(put, shards.items()))
            part.note = f"{len(shards)} objects in s3://{bucket}/{PREFIX}/, one per {self._options.period}"
        return [f"s3://{bucket}/{key}" for key in shards]

    def _register(self, services: Services) -> None:
        with self._screen.part("register", "building the flow") as part:
            flow = push_flow(services.stack.settings(), FLOW, org_id=ORG)
            part.note = f"flow {flow.name} {flow.version} built, uploaded and registered"

    def _enqueue(self, sources: list[str]) -> BatchHandle:
        # The application reads where Redis is when it is imported.
        from scripts.demo_support.application import merge_delays

        with self._screen.part("enqueue", "publishing") as part:
            shards = [{"source": source} for source in sources]
            batch = fan_out(org_id=ORG, flow_name="departure_delays", shards=shards, callback=merge_delays.s())
            part.note = f"batch {batch.batch_id}: {len(shards)} runs, one message"
        return batch

    def _progress(self, batch: BatchHandle, services: Services) -> Iterator[BatchProgress]:
        """Yield the progress until the batch is over; unlike ``batch.watch()``, see to the processes as well."""
        last: BatchProgress | None = None
        ended_at = time.monotonic()
        while last is None or not last.is_over:
            services.check()
            now = batch.progress()
            if last is None or now.done > last.done:
                ended_at = time.monotonic()
            elif time.monotonic() - ended_at > STALL_SECONDS:
                raise DemoFailed(f"no run ended for {STALL_SECONDS:g} s; now {counted(now.by_phase)}")
            yield now
            last = now
            time.sleep(0 if now.is_over else LOOK_SECONDS)

    def _merged(self, batch: BatchHandle) -> Answer:
        with self._screen.part("merge", "waiting for the callback") as part:
            try:
                rows = batch.get(timeout=MERGE_SECONDS)
            except ChordError as exc:
                raise DemoFailed(f"the callback was not called, because a run failed: {exc}") from exc
            part.note = f"the application's callback merged {len(batch)} results"
        return {(carrier, month): (minutes, departures) for carrier, month, minutes, departures in rows}

    def _check(self, answer: Answer) -> None:
        with self._screen.part("check", "computing the same in one process") as part:
            compare(answer, direct_answer())
            departures = sum(count for _, count in answer.values())
            part.note = f"agrees with one process on the raw data: {len(answer)} means of {departures:,} departures"

    def _keep(self, services: Services) -> None:
        """Tell where Flower is; with --keep, keep everything running until Ctrl-C."""
        screen, url = self._screen, services.flower_url
        if not self._options.keep:
            screen.say(f"Flower was at {url}; with --keep it stays there, showing the runs" if url else "")
            return
        with suppress(KeyboardInterrupt):
            if url:
                services.wait_for_flower()
                screen.say(f"Flower is at {url}")
            screen.say(f"all processes keep running (logs: {services.stack.log_dir}); Ctrl-C stops those of the demo")
            while True:
                services.check()
                time.sleep(1)
        screen.say("stopping")


def compare(answer: Answer, direct: Answer) -> None:
    """Raise DemoFailed if two answers differ in any sum or count."""
    different = sorted(key for key in answer.keys() | direct.keys() if answer.get(key) != direct.get(key))
    if different:
        lines = [
            f"{carrier} in month {month}: {answer.get((carrier, month))} from the runs,"
            f" {direct.get((carrier, month))} directly"
            for carrier, month in different[:5]
        ]
        raise DemoFailed(
            f"{len(different)} of {len(direct)} groups differ (minutes of delay, departures):\n" + "\n".join(lines)
        )
