"""What surrounds the servers, rendered from the plan: monitoring, mesh, logs, traces, stack parameters."""
