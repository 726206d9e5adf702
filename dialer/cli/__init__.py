"""The `dialer` command: a client of control's HTTP interface, and the starter of all processes.

Where things are: `demo`, `up` and `serve` start processes (`stack` knows which, `child` how); all others talk to
control (`client`, `patience`, `lists`); `show` draws. A new command is a module here and a line below; then
`python -m dialer.cli.reference > docs/cli.md` and `python -m dialer.cli.manual > docs/dialer.1`.
"""

from dialer.cli.group import Commands

main = Commands(
    "dialer",
    help="Works through lists of calls: at most one call per attempt, never more than the limit at once.",
    places={
        "demo": "dialer.cli.demo",
        "up": "dialer.cli.up",
        "serve": "dialer.cli.serve",
        "migrate": "dialer.cli.migrate",
        "start": "dialer.cli.start",
        "runs": "dialer.cli.run_commands",
        "jobs": "dialer.cli.jobs",
        "recordings": "dialer.cli.recordings",
        "status": "dialer.cli.status",
        "doctor": "dialer.cli.doctor",
        "drain": "dialer.cli.drain",
        "slots": "dialer.cli.slots",
        "businesses": "dialer.cli.businesses",
        "keys": "dialer.cli.keys",
        "healthcheck": "dialer.cli.health",
        "config": "dialer.cli.config",
        "completion": "dialer.cli.completion",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
