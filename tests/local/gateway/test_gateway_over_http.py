"""The one endpoint: routing to each service, and what the local ECS gets from it."""

import io
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from dagy_queue.aws.event_rule import event_pattern
from dagy_queue.errors import LocalStackError
from dagy_queue.local import endpoint

CLUSTER = "arn:aws:ecs:us-east-1:000000000000:cluster/dagy"


def call_local(gateway, path, body=None):
    return endpoint.call(gateway.url, path, body)


def ecs_event(**detail):
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {"clusterArn": CLUSTER, "startedBy": "dagy/run/0", **detail},
    }


@pytest.fixture
def routed(client):
    """A queue, its dead letters, and a rule with our pattern that delivers to it."""
    sqs, events = client("sqs"), client("events")
    name = f"q-{uuid.uuid4().hex}"
    urls = [sqs.create_queue(QueueName=one)["QueueUrl"] for one in (name, f"{name}-dlq")]
    arns = [f"arn:aws:sqs:us-east-1:000000000000:{url.rsplit('/', 1)[-1]}" for url in urls]
    rule = events.put_rule(Name=name, EventPattern=json.dumps(event_pattern(CLUSTER)))["RuleArn"]
    for url, arn in zip(urls, arns, strict=True):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(arn, rule)})
    target = {"Id": "bridge", "Arn": arns[0], "DeadLetterConfig": {"Arn": arns[1]}}
    events.put_targets(Rule=name, Targets=[target])
    yield sqs, urls, rule
    events.remove_targets(Rule=name, Ids=["bridge"])
    events.delete_rule(Name=name)


def policy(queue_arn, rule_arn):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def received(sqs, url, wait=5):
    answer = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=wait)
    return answer.get("Messages", [])


def test_health_names_the_product_and_its_process(gateway):
    health = call_local(gateway, "health")
    assert (health["status"], health["pid"]) == ("ok", gateway.child.pid)
    assert health["product"] == "dagy_queue local gateway"


def test_a_matching_event_reaches_the_queue_as_the_full_envelope(gateway, routed):
    sqs, urls, _ = routed
    event = ecs_event(lastStatus="STOPPED")
    call_local(gateway, "events", ecs_event(startedBy="ecs-svc/1"))
    call_local(gateway, "events", ecs_event(clusterArn=f"{CLUSTER}-other"))
    call_local(gateway, "events", event)
    [message] = received(sqs, urls[0])
    assert json.loads(message["Body"]) == event


def test_a_queue_without_permission_has_its_events_dead_lettered(gateway, routed):
    sqs, urls, rule = routed
    sqs.set_queue_attributes(QueueUrl=urls[0], Attributes={"Policy": ""})
    call_local(gateway, "events", ecs_event())
    [message] = received(sqs, urls[1])
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
    assert attributes["RULE_ARN"] == rule
    assert received(sqs, urls[0], wait=0) == []


def test_events_put_by_applications_reach_custom_rules_but_may_not_claim_to_be_aws(client, routed):
    sqs, urls, _ = routed
    events = client("events")
    answer = events.put_events(
        Entries=[
            {"Source": "aws.ecs", "DetailType": "ECS Task State Change", "Detail": "{}"},
            {"Source": "app", "DetailType": "done", "Detail": "{}"},
        ]
    )
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert answer["Entries"][1]["EventId"]
    assert received(sqs, urls[0], wait=0) == []


def test_ecs_calls_reach_the_local_ecs_and_its_errors_keep_their_fields(client):
    ecs = client("ecs")
    assert ecs.describe_clusters(clusters=["dagy"])["clusters"][0]["status"] == "ACTIVE"
    with pytest.raises(ecs.exceptions.ConflictException) as caught:
        ecs.run_task(taskDefinition="x")
    assert caught.value.response["resourceIds"] == ["arn:one"]


def test_a_dropped_answer_closes_the_connection(client):
    with pytest.raises(ConnectionClosedError):
        client("ecs").list_tasks()


def test_objects_survive_s3_in_every_shape(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="shapes")
    big = bytes(range(256)) * 40_000
    s3.upload_fileobj(io.BytesIO(big), "shapes", "big/with space/ü.bin")
    assert s3.get_object(Bucket="shapes", Key="big/with space/ü.bin")["Body"].read() == big
    s3.put_object(Bucket="shapes", Key="small", Body=b"x", Metadata={"run_id": "r1"}, ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket="shapes", Key="small", ChecksumMode="ENABLED")
    assert head["Metadata"] == {"run_id": "r1"}
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="shapes", Prefix="big/")["Contents"]]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="shapes", Key="nope")


def test_a_body_in_chunks_without_a_length_is_stored_whole(client, gateway):
    s3 = client("s3")
    s3.create_bucket(Bucket="chunks")
    link = s3.generate_presigned_url("put_object", {"Bucket": "chunks", "Key": "k"})
    headers = {"Content-Type": "text/plain"}
    assert urllib3.request("PUT", link, body=iter([b"one,", b"two"]), headers=headers).status == 200
    assert s3.get_object(Bucket="chunks", Key="k")["Body"].read() == b"one,two"


def test_an_existing_object_is_not_overwritten_under_a_condition(client):
    s3 = client("s3")
    s3.create_bucket(Bucket="conditions")
    s3.put_object(Bucket="conditions", Key="once", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="conditions", Key="once", Body=b"2", IfNoneMatch="*")


def test_writes_of_an_item_are_whole_whoever_writes_or_reads_meanwhile(client):
    dynamodb = client("dynamodb", max_pool_connections=8)
    dynamodb.create_table(
        TableName="whole",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def write_and_read(number):
        key = {"k": {"S": str(number % 5)}}
        dynamodb.update_item(
            TableName="whole",
            Key=key,
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        return "n" in dynamodb.get_item(TableName="whole", Key={"k": {"S": str((number + 1) % 5)}}).get(
            "Item", {"n": 0}
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(write_and_read, range(100)))
    counts = [item["n"]["N"] for item in dynamodb.scan(TableName="whole")["Items"]]
    assert counts == ["20"] * 5


def test_dynamodb_sts_and_logs_answer_on_the_same_endpoint(client):
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="t", Item={"k": {"S": "a"}})
    assert dynamodb.get_item(TableName="t", Key={"k": {"S": "a"}})["Item"] == {"k": {"S": "a"}}
    assert client("sts").get_caller_identity()["Account"] == "000000000000"
    assert client("logs").describe_log_groups(logGroupNamePrefix="none")["logGroups"] == []


def test_container_output_is_found_in_cloudwatch_logs_in_time_order(gateway, client):
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + 1, "message": "second"}, {"timestamp": now, "message": "first"}]
    call_local(gateway, "ecs/log", {"group": "/ecs/new", "stream": "dagy/worker/1", "lines": lines})
    found = client("logs").get_log_events(logGroupName="/ecs/new", logStreamName="dagy/worker/1", startFromHead=True)
    assert [event["message"] for event in found["events"]] == ["first", "second"]


def test_secrets_resolve_by_key_stage_and_version(gateway, client):
    secrets = client("secretsmanager")
    made = secrets.create_secret(Name="db", SecretString='{"user": "ann", "port": 5432}')
    newer = secrets.put_secret_value(SecretId="db", SecretString='{"user": "bob"}')

    def resolve(suffix=""):
        return call_local(gateway, "ecs/secret", {"value_from": made["ARN"] + suffix})["value"]

    assert resolve() == '{"user": "bob"}'
    assert resolve(":user::") == "bob"
    assert resolve(":user:AWSPREVIOUS:") == "ann"
    assert resolve(f":user::{made['VersionId']}") == "ann"
    assert resolve(f":user::{newer['VersionId']}") == "bob"
    client("ssm").put_parameter(Name="/app/key", Value="v", Type="SecureString")
    assert call_local(gateway, "ecs/secret", {"value_from": "/app/key"})["value"] == "v"
    for missing in (":nope::", ":user:NOSTAGE:"):
        with pytest.raises(LocalStackError, match="NotFound"):
            resolve(missing)


def test_calls_are_counted_by_service_and_operation(gateway, client):
    before = call_local(gateway, "stats")["calls"].get("sts.GetCallerIdentity", 0)
    queues = call_local(gateway, "stats")["calls"].get("sqs.ListQueues", 0)
    client("sqs").list_queues()
    after = call_local(gateway, "stats")["calls"]
    assert (after.get("sqs.ListQueues", 0), after.get("sts.GetCallerIdentity", 0)) == (queues + 1, before)


def test_admin_actions_and_task_metadata_go_to_the_local_ecs(gateway):
    assert call_local(gateway, "ecs/faults", {"throttle": 1}) == {"action": "faults", "throttle": 1}
    assert call_local(gateway, "metadata/ab12/task")["path"] == "/task"


def test_the_endpoint_is_on_loopback_only(gateway):
    assert gateway.url.startswith("http://127.0.0.1:")


def test_an_answer_does_not_wait_for_a_delayed_acknowledgement(client):
    sqs = client("sqs")
    sqs.list_queues()
    started = time.monotonic()
    for _ in range(50):
        sqs.list_queues()
    # Nagle's algorithm against a delayed ACK costs 40 ms a call, 2 s in all.
    assert time.monotonic() - started < 1.5


def test_a_web_page_may_not_call_anything(gateway):
    for path in ("/_local/ecs/faults", "/"):
        answer = urllib3.request("POST", gateway.url + path, headers={"Origin": "https://example.com"}, body="{}")
        assert answer.status == 403


def test_a_bucket_is_found_in_the_host_name_too(client, gateway):
    s3 = client("s3")
    s3.create_bucket(Bucket="in-host")
    s3.put_object(Bucket="in-host", Key="a/b", Body=b"found")
    port = gateway.url.rsplit(":", 1)[1]
    session = boto3.session.Session("local", "local", region_name="us-east-1")
    virtual = session.client(
        "s3", endpoint_url=f"http://localhost:{port}", config=Config(s3={"addressing_style": "virtual"})
    )
    link = virtual.generate_presigned_url("get_object", {"Bucket": "in-host", "Key": "a/b"})
    virtual.close()
    host = f"in-host.localhost:{port}"
    assert host in link
    answer = urllib3.request("GET", link.replace(host, f"127.0.0.1:{port}"), headers={"Host": host})
    assert (answer.status, answer.data) == (200, b"found")
