"""Why an image could not be pulled, by the words of ECS and of the registries; a table, pure.

Part of ``start_causes.py``. Wording: ECS developer guide, "CannotPullContainer task errors", and the errors of
containerd and of the registries that it passes on.
"""

from __future__ import annotations

from dagy_queue.outcomes.causes import passing_start_failure, start_failure

_STATUS = r"(status code |error \()"  # a mere number may be an image's tag
_PULL = "CannotPull(Container|ECRContainer|ImageManifest)Error.*"

PULL_CAUSES = (
    passing_start_failure(
        rf"(?s){_PULL}(toomanyrequests|too many requests|rate limit|rate exceeded|throttling|{_STATUS}429)",
        "the registry limited the rate of pulls",
        "keep the image in Amazon ECR, use a pull-through cache, or log in to the registry for a higher limit",
    ),
    start_failure(
        rf"(?s){_PULL}(no space left on device|not enough (free )?space|disk quota)",
        "the image does not fit on the task's disk",
        "ask for a larger ephemeral_storage_gib (up to 200), or make the image smaller",
    ),
    start_failure(
        rf"(?s){_PULL}(descriptor matching platform|no match(ing)? (for platform|manifest))",
        "the image is not made for the task's processor or operating system",
        "build the image for the platform of the task definition (runtimePlatform: X86_64 or ARM64)",
    ),
    start_failure(
        rf"(?s){_PULL}(access ?denied|not authorized|unauthorized|forbidden|no basic auth|authorization token"
        rf"|authentication required|{_STATUS}40[13]|role has the permissions|may require ['\"]?docker login|: denied)",
        "the registry does not let the task pull its image",
        "check that the image's name is right and that the execution role may pull it (ecr:GetAuthorizationToken, "
        "ecr:BatchGetImage, ecr:GetDownloadUrlForLayer), or give the definition the registry's credentials",
    ),
    start_failure(
        rf"(?s){_PULL}(invalid reference|unsupported manifest|name invalid)",
        "the image's name is not one that can be pulled",
        "check the image's name, registry and tag",
    ),
    passing_start_failure(
        rf"(?s){_PULL}(i/o timeout|timed? ?out|timeout|deadline exceeded|request cancell?ed|context cancell?ed"
        r"|connection (refused|reset|issue)|no such host|no route|TLS handshake|broken pipe|\bEOF\b|invalid argument"
        rf"|signal: killed|temporary failure|{_STATUS}50[0-4]|internal server error|service unavailable|bad gateway)",
        "the registry could not be reached, or stopped answering, while the image was pulled",
        "if it happens each time, give the task a way to the registry: assign_public_ip in a public subnet, a NAT "
        "gateway, or VPC endpoints for ECR and S3; and let its security group send to port 443",
    ),
    start_failure(
        rf"(?s){_PULL}(not found|notfound|does not exist|no such image|manifest[ _]unknown|name[ _]unknown"
        rf"|not known to registry|check whether the image exists|{_STATUS}404)",
        "there is no such image",
        "check the image's name and tag, and that it was pushed to this registry, account and region",
    ),
    start_failure(
        "CannotPull(Container|ECRContainer|ImageManifest)Error",
        "the image could not be pulled",
        "check the image's name and tag, that the execution role may pull it, and that the task can reach the registry",
    ),
)
"""The last row is for what no other one knows."""
