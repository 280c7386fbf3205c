"""Runs the real gateway process with a tiny ECS: it echoes, refuses, drops answers and emits events on demand."""

from dagy_queue.local.ecs import DroppedAnswer
from dagy_queue.local.gateway import server
from dagy_queue.local.ports import AwsError, LogLine


class FakeEcs:
    def __init__(self, _options, _base_url, *, events, logs, secrets):
        self.events, self.logs, self.secrets = events, logs, secrets

    async def start(self):
        pass

    async def close(self):
        pass

    async def call(self, operation, request):
        if operation == "CreateCluster":
            arn = f"arn:aws:ecs:us-east-1:000000000000:cluster/{request['clusterName']}"
            return {"cluster": {"clusterArn": arn, "status": "ACTIVE"}}
        if operation == "DescribeClusters":
            return {
                "clusters": [{"clusterName": name, "status": "ACTIVE"} for name in request["clusters"]],
                "failures": [],
            }
        if operation == "ListTasks":
            raise DroppedAnswer
        raise AwsError("ConflictException", "token used", fields={"resourceIds": ["arn:one"]})

    async def admin(self, action, body):
        if action == "log":
            await self.logs.write_lines(body["group"], body["stream"], [LogLine(**line) for line in body["lines"]])
            return {}
        if action == "secret":
            return {"value": await self.secrets.resolve(body["value_from"])}
        return {"action": action, **body}


if __name__ == "__main__":
    server.main(build_ecs=FakeEcs)
