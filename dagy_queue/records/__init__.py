"""The durable record in DynamoDB: registered flows now, runs and their history with the registry."""
