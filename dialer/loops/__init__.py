"""Loops drive: one repeated verb a file. They know no SQL, no Redis, no HTTP, and not each other."""
