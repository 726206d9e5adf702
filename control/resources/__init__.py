"""What is kept and shown over HTTP: a noun a file."""
