"""What the carrier says of calls and recordings: callbacks, signed."""
