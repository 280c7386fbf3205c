"""Starts the gateway process."""

from dagy_queue.local.gateway.server import main

if __name__ == "__main__":
    main()
