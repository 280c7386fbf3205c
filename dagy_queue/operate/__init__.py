"""What operators use: the command line and the registration of flows."""
