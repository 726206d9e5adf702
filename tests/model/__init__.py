"""The proof by model: the real statements and the real Redis scripts against a small, complete picture of the world.

A hypothesis state machine (`machine`) interleaves, one step at a time, whatever may happen to two businesses with
two or three runs, worked on by three daemons. After every step the invariants (`invariants`) are checked; at the end
of every example the world is brought to rest (`quiet`) and checked once more.

Real: every function and named query, through `dialer.edges.store.Store` on one connection to a real PostgreSQL; the
Lua scripts, through `dialer.edges.slots.Slots` on a real Redis; the pure rules (`dialer.rules`).

Modelled:
  * `carrier`  the truth: which calls exist, what the carrier has said of them, what its list shows. It keeps its own
               promises: a call rings and talks only so long, and shows in the list after the lag at the latest.
  * `daemon`   what a daemon remembers, and what it makes of answers: the loops, without their timing. It is freer
               than a real one: any of its acts may come at any time, or never, and it may die between any two.
               Frozen, it comes back with its old epoch, old grants, unsent intents, late answers, old readings.
  * `clock`    the time. `now()` and the start of Postgres are functions of the model's own schema, found before
               the system's; in Redis, members and tickets are made older. Nothing ever waits.
  * `world`    everything that can happen: operators, losses of Redis, restarts of Postgres, callbacks in any order
               and number, hints that are heard by some, by all or by nobody.

Not modelled: two statements at once (locks, deadlocks: tests/sql); rows lost by Postgres; the loops' own timing
(tests/loops, tests/system); pacing; hang-ups; answering machines; the reaper of stale runs (an operator's stop stands
in for it). Assumed of a create: from the commit of its intent to the existence of its call no more passes than
`carrier.LANDS_WITHIN_SECONDS`, because after the ring time-out and the list's lag an absence counts as proof.

Checked: I1 to I10, I13 and I17 after every act; I14 (a lease is over, somebody looks, nobody waits) when a daemon is
replaced; I11 and I18 by doing every statement that takes in a fact or mends something a second time, when nothing may
change; I12, that every job ends with a reason, and I18 of everything together, at rest. I15 and I16 are matters of
processes and of time: tests/system.

  * `stories`   short fixed courses of events, each aimed at one guard: played on the sound build, where they end
                well, and on a build without that guard, where an invariant must break
  * `sabotage`  those builds, three of which retry a create on 500, skip the epoch check, free a slot twice. An
                environment variable chooses one for everything: MODEL_SABOTAGE=skips_epoch_check

More examples, by chance (the seed is printed): `MODEL_EXAMPLES=2000 .venv/bin/pytest tests/model -n 0 -s`, and the
same ones again with MODEL_SEED beside it. A failure shows the acts of the shortest example that was found.
"""
