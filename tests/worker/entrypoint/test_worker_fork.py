"""A warm fork server: what is loaded before the fork serves the children, their environment is their own."""

from __future__ import annotations

import json
import sys
import textwrap

from dagy.contract import Env
from tests.worker.entrypoint.conftest import Worker

SERVER = """
import json, os, sys, time
for name in [n for n in os.environ if n.startswith(("AWS_", "DAGY_"))]:
    del os.environ[name]
from dagy_worker.main import main, preload
preload()
child = json.loads(sys.argv[1])
if os.fork() == 0:
    os.environ.update(child)
    before, modules = time.process_time(), set(sys.modules)
    import boto3
    boto3.client("s3", region_name="us-east-1")
    cost, late = time.process_time() - before, set(sys.modules) - modules
    print(json.dumps({"client_ms": cost * 1000, "imported_late": sorted(late)}), flush=True)
    os._exit(main(os.environ))
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""
FLOW = """
from dagy import flow

@flow
def regions():
    import boto3
    client = boto3.client("s3")
    return [client.meta.endpoint_url, len(client.list_buckets()["Buckets"])]
"""


def test_a_child_runs_with_its_own_environment_and_a_cheap_client(worker: Worker, aws: dict[str, str]) -> None:
    child = {**aws, "AWS_DEFAULT_REGION": "us-east-1", Env.RUN_SPEC: worker.spec(FLOW).to_json()}
    running = worker.start(None, (sys.executable, "-c", textwrap.dedent(SERVER), json.dumps(child)))
    measured = json.loads(running.until("imported_late").splitlines()[0])
    done = running.finish()
    assert done.exit_code == 0, done.output
    assert done.report.result == [aws["AWS_ENDPOINT_URL"], 1]
    assert measured["imported_late"] == []
    assert measured["client_ms"] < 60  # about 12 on an idle machine, 70 without preload
