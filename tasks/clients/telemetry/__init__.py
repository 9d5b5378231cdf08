"""What programs tell of themselves: JSON lines and spans, with the incident and the step that they serve."""
