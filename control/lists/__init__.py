"""A calling list becomes a run: it is read, judged and written; what is left of a run becomes another."""
