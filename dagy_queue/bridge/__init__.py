"""The bridge: ECS events from SQS become completions that resume parked tasks."""
