"""The embedded stack: everything production gives, on loopback, with no AWS account and no Docker."""
