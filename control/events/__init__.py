"""Who listens to a business's changes, and what they are told."""
