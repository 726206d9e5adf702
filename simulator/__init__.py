"""A local carrier: as much of a programmable voice API as a dialer can notice, faults included.

As a program:   python -m simulator --port 8090 [--host 127.0.0.1] [--account AC…] [--auth-token …]
                (every setting is a flag too; one line of JSON with its url is printed when it is ready)
In a test:      async with Simulator(INSTANT).serve() as sim: ... sim.url, sim.ledger

Where things are: `switches` (the HTTP interface to all of it, with examples), `outcomes` (which number does
what), `faults` (what can go wrong), `settings` (timings), `ledger` (what really happened), `calls` (the
states of a call), `exchange` (its life), `callbacks` (signed posts and their retries), `rest` and `media`
(the carrier's API), `orders` (what a create request may say).
"""

from simulator.app import Simulator
from simulator.faults import Fault
from simulator.outcomes import Outcome, Plan
from simulator.settings import INSTANT, Settings

__all__ = ["INSTANT", "Fault", "Outcome", "Plan", "Settings", "Simulator"]
