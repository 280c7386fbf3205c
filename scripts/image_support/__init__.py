"""``./scripts/build-image``: from a checkout to an image, and from there to ECR. Standard library only."""
