"""Runs are stopped, by people and by time; their jobs are swept, and their live calls hung up."""
