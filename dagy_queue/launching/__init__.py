"""From a checked request to RunTask: what dispatchers and the direct mode share, pure decisions and calls of AWS."""
