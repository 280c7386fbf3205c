"""The samples of Dagy's guide that launch, as they stand there; what the guide leaves undefined is a parameter here.

Only their import lines are others: ``dagy_api.ecs.launcher`` and ``dagy_api.persistence.models`` are ``dagy_queue``.
``test_guide_samples.py`` runs them.
"""
# ruff: noqa: RET504 - the samples name their results, and end there

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dagy_queue import DagLauncher, DeploymentModel, DepPackageModel, FlowModel, RunModel

# --- Single DAG launch


def lambda_handler(event, context):
    launcher = DagLauncher()

    # Option 1: Using keyword arguments
    result = launcher.launch(
        flow_name="etl_pipeline",
        flow_version="1.0.0",
        org_id="acme-corp",
        environment="production",
        parameters={"date": "2024-03-14", "source_bucket": "s3://data-input"},
        correlation_id="req-12345",
    )

    return {
        "statusCode": 200 if result.success else 500,
        "body": {
            "run_id": result.run_id,
            "task_arn": result.task_arn,
            "success": result.success,
            "error": result.error_message,
        },
    }


def explicit_launcher() -> DagLauncher:
    launcher = DagLauncher(
        cluster_arn="arn:aws:ecs:us-east-1:123456789:cluster/dagy",
        task_execution_role_arn="arn:aws:iam::123456789:role/ecs-exec-role",
        task_role_arn="arn:aws:iam::123456789:role/ecs-task-role",
        worker_image="123456789.dkr.ecr.us-east-1.amazonaws.com/dagy-worker:latest",
        subnets=["subnet-12345", "subnet-67890"],
        security_groups=["sg-12345"],
        log_group="/ecs/dagy-worker",
        region="us-east-1",
    )
    return launcher


# --- Batch and partitioned DAG launches


def batch(launcher: DagLauncher) -> Any:
    results = launcher.launch_batch(
        requests=[
            {"flow_name": "process_shard", "parameters": {"shard": "0"}},
            {"flow_name": "process_shard", "parameters": {"shard": "1"}},
            {"flow_name": "process_shard", "parameters": {"shard": "2"}},
            {"flow_name": "process_shard", "parameters": {"shard": "3"}},
        ],
        org_id="acme-corp",
        environment="production",
        correlation_id="batch-req-12345",  # Parent correlation ID
    )

    # Each request gets a child correlation ID: batch-req-12345:0, batch-req-12345:1, etc.
    for i, result in enumerate(results):
        print(f"Shard {i}: {result.run_id} -> {result.task_arn}")
    return results


# --- Workload profiles and resource overrides


def named_workload_profile(launcher: DagLauncher) -> Any:
    result = launcher.launch(
        flow_name="train_model",
        org_id="acme-corp",
        workload_profile="large",  # Use 2048 CPU / 4096 MB memory
    )
    return result


def explicit_resources(launcher: DagLauncher) -> Any:
    result = launcher.launch(
        flow_name="etl_pipeline",
        org_id="acme-corp",
        cpu="2048",  # 2 vCPU
        memory="4096",  # 4 GB
    )
    return result


def ephemeral_storage(launcher: DagLauncher) -> Any:
    result = launcher.launch(
        flow_name="large_data_process",
        org_id="acme-corp",
        ephemeral_storage_gib=100,  # 100 GiB for intermediate files
    )
    return result


# --- Dependency packages


def define_deployment() -> None:
    DeploymentModel(
        deployment_name="production",
        environment="production",
        dep_package_slugs=["my-deps"],  # References the package by slug
    ).save()


def register_package() -> None:
    DepPackageModel(
        slug="my-deps",
        package_s3_uri="s3://your-artifact-bucket/dep-packages/my-deps.zip",
        org_id="acme-corp",
        version="1.0.0",
    ).save()


def with_dependency_packages(launcher: DagLauncher) -> Any:
    result = launcher.launch(
        flow_name="my_pipeline",
        org_id="acme-corp",
        deployment_name="production",  # Pulls in dep packages from this deployment
        parameters={"data": "s3://bucket/input.csv"},
    )
    return result


# --- Scheduled execution: the rule's input

SCHEDULED_INPUT = '{"action":"launch","flow_name":"etl_pipeline","org_id":"acme-corp","environment":"production"}'

# --- API-driven launches


def api_handler(event, context):
    """Handle HTTP POST to /flows/{flowName}/runs"""
    flow_name = event.get("pathParameters", {}).get("flowName", "")
    org_id = event.get("queryStringParameters", {}).get("org_id", "")
    body = json.loads(event.get("body", "{}"))
    parameters = body.get("parameters", {})

    launcher = DagLauncher()
    result = launcher.launch(
        flow_name=flow_name,
        org_id=org_id,
        parameters=parameters,
        environment="production",
        trigger_source="api",
        triggered_by=event.get("requestContext", {}).get("http", {}).get("sourceIp"),
    )

    return {
        "statusCode": 200 if result.success else 500,
        "body": json.dumps(
            {
                "run_id": result.run_id,
                "task_arn": result.task_arn,
                "success": result.success,
            }
        ),
    }


def get_run_handler(event, context):
    run_id = event.get("pathParameters", {}).get("runId", "")

    launcher = DagLauncher()
    status = launcher.get_run_status(run_id)

    if not status:
        return {"statusCode": 404, "body": json.dumps({"error": "Run not found"})}

    return {
        "statusCode": 200,
        "body": json.dumps(
            {
                "run_id": status["run_id"],
                "flow_name": status["flow_name"],
                "status": status["status"],
                "started_at": status["started_at"],
                "completed_at": status["completed_at"],
                "error_message": status["error_message"],
            }
        ),
    }


# --- Adding new DAGs: flows/etl_pipeline.py, the commands that build it, and its registration

ETL_PIPELINE = """
from dagy import DAG, task

@task
def extract(source_path):
    import pandas as pd
    return pd.read_csv(source_path)

@task
def transform(data):
    return data.assign(processed=True)

@task
def load(data, destination):
    data.to_parquet(destination)

with DAG("etl_pipeline", version="1.0.0") as dag:
    data = extract(source_path="{{ parameters.source }}")
    transformed = transform(data=data)
    load(transformed, destination="{{ parameters.destination }}")
"""

BUILD = "dagy build flows/etl_pipeline.py --output artifact.zip --version 1.0.0"


def register_flow() -> None:
    flow_spec = json.loads(Path("artifact/flow_spec.json").read_text())

    FlowModel(
        flow_name="etl_pipeline",
        flow_version="1.0.0",
        org_id="acme-corp",
        spec=json.dumps(flow_spec),
        artifact_s3_uri="s3://your-artifact-bucket/flows/etl_pipeline/1.0.0/artifact.zip",
    ).save()


def launch_registered(launcher: DagLauncher) -> Any:
    return launcher.launch(
        flow_name="etl_pipeline",
        flow_version="1.0.0",
        org_id="acme-corp",
    )


# --- Execution profiles

EXECUTION_PROFILES = {
    "etl_pipeline:quick": {
        "flow_name": "etl_pipeline",
        "flow_version": "1.0.0",
        "workload_profile": "medium",
        "deployment_name": "production",
    },
    "etl_pipeline:large_dataset": {
        "flow_name": "etl_pipeline",
        "flow_version": "1.0.0",
        "workload_profile": "xlarge",
        "deployment_name": "production",
    },
    "etl_pipeline:dev": {
        "flow_name": "etl_pipeline",
        "flow_version": "dev-branch",
        "workload_profile": "small",
        "deployment_name": "develop",
    },
}


def launch_using_a_profile(launcher: DagLauncher) -> Any:
    # Launch using a profile
    profile = EXECUTION_PROFILES["etl_pipeline:large_dataset"]
    result = launcher.launch(
        org_id="acme-corp",
        environment="production",
        **profile,
    )
    return result


# --- Environment-specific configuration

ENVIRONMENT_CONFIG = {
    "develop": {
        "subnets": ["subnet-dev-1", "subnet-dev-2"],
        "security_groups": ["sg-dev"],
        "workload_profile": "small",
        "deployment_name": "develop",
    },
    "staging": {
        "subnets": ["subnet-staging-1", "subnet-staging-2"],
        "security_groups": ["sg-staging"],
        "workload_profile": "medium",
        "deployment_name": "staging",
    },
    "production": {
        "subnets": ["subnet-prod-1", "subnet-prod-2", "subnet-prod-3"],
        "security_groups": ["sg-prod"],
        "workload_profile": "large",
        "deployment_name": "production",
    },
}


def launch_for_environment(flow_name, environment, **overrides):
    launcher = DagLauncher()
    config = ENVIRONMENT_CONFIG[environment]

    return launcher.launch(
        flow_name=flow_name,
        environment=environment,
        org_id="acme-corp",
        **{**config, **overrides},  # Overrides can customize per-launch
    )


def parameter_templating(launcher: DagLauncher, environment: str) -> Any:
    result = launcher.launch(
        flow_name="etl_pipeline",
        org_id="acme-corp",
        environment="production",
        parameters={
            "output_bucket": f"s3://dagy-outputs-{environment}",
            "temp_bucket": f"s3://dagy-temp-{environment}",
        },
    )
    return result


# --- Secrets


def with_secrets(launcher: Any) -> Any:
    result = launcher.launch(
        flow_name="api_pipeline",
        org_id="acme-corp",
        secrets_env={
            "DB_PASSWORD": "arn:aws:secretsmanager:us-east-1:123456789:secret:prod/db-password",
            "API_KEY": "arn:aws:secretsmanager:us-east-1:123456789:secret:prod/api-key",
        },
    )
    return result


# --- Tracking runs


def track(run_id: str) -> None:
    run = RunModel.get(run_id)
    print(f"Status: {run.status}")
    print(f"Started: {run.started_at}")
    print(f"Completed: {run.completed_at}")
    print(f"Error: {run.error_message}")
