"""What a caller may ask for, and whether it can be launched; pure, no I/O."""

from dagy_queue.requests.models import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.parsing import parse_request, read_request

__all__ = ["ContainerRequest", "LaunchRequest", "RunRequest", "parse_request", "read_request"]
