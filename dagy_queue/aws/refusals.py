"""Error codes of AWS that are about who asks, rather than about what is asked; pure.

The dispatcher's health check and the command line's exit codes tell them apart from others. A dispatcher does not hold
its own credentials against a run: they are renewed, and another dispatcher may have better ones.
"""

from __future__ import annotations

from dagy_queue.errors import AwsError, AwsRefused

NO_CREDENTIALS = "NoCredentials"
"""The code of our own where botocore finds none."""

NO_TABLE = "ResourceNotFoundException"
"""DynamoDB's, where a table is not there."""

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
"""The credentials are right, and may not do this."""

CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        NO_CREDENTIALS,
        "PartialCredentialsError",
        "ProfileNotFound",
        "SSOTokenLoadError",
        "SignatureDoesNotMatch",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "UnrecognizedClientException",
    }
)
"""Answers of AWS, and errors of botocore, that mean wrong credentials and don't pass by themselves."""


def will_stay(error: AwsError) -> bool:
    """Tell whether AWS would refuse the call again, whoever makes it: for what it asks, not for who asks."""
    return isinstance(error, AwsRefused) and not is_about_credentials(error)


def is_about_credentials(error: Exception) -> bool:
    """Tell whether AWS does not take the credentials of this process, for now."""
    return isinstance(error, AwsRefused) and error.code in CREDENTIALS


def is_about_identity(code: str) -> bool:
    """Tell whether an error code means that the credentials are wrong, or not enough."""
    return code in CREDENTIALS or code in DENIED
