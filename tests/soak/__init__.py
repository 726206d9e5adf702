"""Everything breaks, in a random order that a seed repeats, while calls are made; then the ledger is asked.

    python -m tests.soak --minutes 10 --seed 7        exits 1 on any violation, and prints the seed

    --redis cluster --database pgbouncer             on a Valkey cluster of three nodes, behind PgBouncer

`places` are where Redis and Postgres lie, `world` holds the processes and servers, `acts` breaks them,
`misbehaviours` are the carrier's, `operators` are people's, `course` is the order of events, `verdict` the questions
at the end.
"""
