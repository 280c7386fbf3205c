"""The lean SQS as boto3 sees it."""

import threading
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from dagy_queue.local import endpoint


@pytest.fixture
def sqs(client):
    return client("sqs")


@pytest.fixture
def url(sqs):
    return sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex}")["QueueUrl"]


def arn_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def depth(sqs, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def bodies(answer):
    return [message["Body"] for message in answer.get("Messages", [])]


def failing_with(code):
    return pytest.raises(ClientError, match=code)


def test_a_message_is_received_once_and_gone_after_its_deletion(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert message["Body"] == "hello"
    assert bodies(sqs.receive_message(QueueUrl=url)) == []
    assert depth(sqs, url) == (0, 1)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert depth(sqs, url) == (0, 0)


def test_a_received_message_comes_back_when_its_visibility_ends(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="again")
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=1)
    started = time.monotonic()
    [message] = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert 0.5 < time.monotonic() - started < 3
    assert message["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_an_outdated_receipt_deletes_nothing(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="kept")
    first = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"][0]["ReceiptHandle"]
    second = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first)
    assert depth(sqs, url) == (0, 1)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second)
    assert depth(sqs, url) == (0, 0)


def test_a_long_poll_ends_as_soon_as_a_message_is_there(gateway, sqs, url):
    got = []
    waiter = gateway.client("sqs")
    thread = threading.Thread(
        target=lambda: got.extend(bodies(waiter.receive_message(QueueUrl=url, WaitTimeSeconds=20)))
    )
    thread.start()
    sqs.send_message(QueueUrl=url, MessageBody="now")
    thread.join(5)
    waiter.close()
    assert got == ["now"]


def test_a_delayed_message_wakes_a_long_poll_when_it_is_due(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    assert bodies(sqs.receive_message(QueueUrl=url)) == []
    assert bodies(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)) == ["later"]


def test_a_visibility_of_zero_gives_the_message_back_at_once(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="back")
    receipt = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=0)
    assert bodies(sqs.receive_message(QueueUrl=url)) == ["back"]


def test_batches_of_ten_go_in_and_out_in_order(sqs, url):
    entries = [{"Id": str(i), "MessageBody": f"m{i}"} for i in range(10)]
    assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == [f"m{i}" for i in range(10)]
    gone = [{"Id": str(i), "ReceiptHandle": one["ReceiptHandle"]} for i, one in enumerate(messages)]
    assert len(sqs.delete_message_batch(QueueUrl=url, Entries=gone)["Successful"]) == 10
    assert depth(sqs, url) == (0, 0)


def test_a_batch_reports_its_failures_one_by_one(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="one")
    receipt = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
    entries = [{"Id": "good", "ReceiptHandle": receipt}, {"Id": "bad", "ReceiptHandle": "nonsense"}]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["good"]
    [failed] = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "ReceiptHandleIsInvalid", True)


def test_checksums_and_attributes_are_those_of_sqs(sqs, url):
    attributes = {
        "kind": {"DataType": "String", "StringValue": "stop"},
        "blob": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    sent = sqs.send_message(QueueUrl=url, MessageBody="body", MessageAttributes=attributes)
    assert sent["MD5OfMessageBody"] == "841a2d689ad86bd1611447453c22c6fc"
    [message] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])[
        "Messages"
    ]
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["MessageAttributes"] == attributes
    assert abs(int(message["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 30


def test_a_message_received_too_often_goes_to_the_dead_letter_queue_and_back(sqs, url):
    dead = sqs.create_queue(QueueName=f"d-{uuid.uuid4().hex}")["QueueUrl"]
    policy = f'{{"deadLetterTargetArn": "{arn_of(sqs, dead)}", "maxReceiveCount": "2"}}'
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        assert bodies(sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)) == ["poison"]
    assert bodies(sqs.receive_message(QueueUrl=url)) == []
    [message] = sqs.receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(sqs, url)

    sqs.start_message_move_task(SourceArn=arn_of(sqs, dead))
    [task] = sqs.list_message_move_tasks(SourceArn=arn_of(sqs, dead))["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 1)
    assert bodies(sqs.receive_message(QueueUrl=url)) == ["poison"]
    assert depth(sqs, dead) == (0, 0)


def test_creating_a_queue_twice_returns_the_same_unless_attributes_differ(sqs):
    name = f"q-{uuid.uuid4().hex}"
    first = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == first["QueueUrl"]
    with failing_with("QueueAlreadyExists"):
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "61"})
    assert first["QueueUrl"] in sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == first["QueueUrl"]
    sqs.delete_queue(QueueUrl=first["QueueUrl"])
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName=name)


def test_tags_are_kept(sqs, url):
    sqs.tag_queue(QueueUrl=url, Tags={"team": "data", "stage": "dev"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["stage"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "data"}


def test_purging_empties_a_queue(sqs, url):
    sqs.send_message(QueueUrl=url, MessageBody="a")
    sqs.send_message(QueueUrl=url, MessageBody="b")
    sqs.receive_message(QueueUrl=url)
    sqs.purge_queue(QueueUrl=url)
    assert depth(sqs, url) == (0, 0)


def test_errors_have_the_names_of_sqs(sqs, url):
    with failing_with("AWS.SimpleQueueService.NonExistentQueue"):
        sqs.send_message(QueueUrl=f"{url}-not", MessageBody="x")
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="nonsense")
    with failing_with("InvalidParameterValue"):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11)
    with failing_with("InvalidAttributeValue"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "43201"})
    with failing_with("InvalidAttributeName"):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Nonsense": "1"})
    with failing_with("EmptyBatchRequest"):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    with failing_with("BatchEntryIdsNotDistinct"):
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}] * 2)
    with failing_with("Message must be shorter"):
        sqs.send_message(QueueUrl=url, MessageBody="x" * (1024 * 1024 + 1))
    with failing_with("Message does not exist"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
        receipt = sqs.receive_message(QueueUrl=url)["Messages"][0]["ReceiptHandle"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=receipt, VisibilityTimeout=5)


def waiting_receivers(gateway, url):
    return endpoint.call(gateway.url, "sqs/stats")["queues"][url.rpartition("/")[2]]["waiting_receivers"]


def test_a_receiver_that_hangs_up_is_not_given_a_message(gateway, client, sqs, url):
    impatient = client("sqs", read_timeout=1)
    with pytest.raises(Exception, match="Read timeout"):
        impatient.receive_message(QueueUrl=url, WaitTimeSeconds=20)
    deadline = time.monotonic() + 10  # Well before the long poll would end by itself.
    while waiting_receivers(gateway, url):
        assert time.monotonic() < deadline, "nobody noticed"
        time.sleep(0.01)
    sqs.send_message(QueueUrl=url, MessageBody="for the living")
    assert bodies(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)) == ["for the living"]
