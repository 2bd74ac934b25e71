"""Metrics, logs and probes: fed from events and commands, never from inside the core."""
