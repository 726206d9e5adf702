"""Rules decide: pure tables and small functions. No await, no clock, no library."""
