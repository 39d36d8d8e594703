"""What the commands do: run jobs, follow runs, show the status, verify the lake."""
