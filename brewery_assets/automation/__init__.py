"""Jobs, the schedule, sensors and alerts."""
