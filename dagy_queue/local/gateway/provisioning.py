"""Has a gateway make what production has, in another process: PynamoDB would find this one's environment.

``gateway/server.py`` calls it where nobody else provisions: in a container.
"""

from __future__ import annotations

import asyncio
import sys

COMMAND = ("-m", "dagy_queue.local.provision")


async def provisioned(url: str, region: str, cluster: str) -> bool:
    """Make what is missing in the AWS at an address; tell whether that worked. What went wrong is on stderr."""
    options = ("--region", region, "--cluster", cluster)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *COMMAND, url, *options), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
