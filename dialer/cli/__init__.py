"""The `dialer` command: a client of control's HTTP interface, and the starter of all processes.

Where things are: `demo`, `up` and `serve` start processes (`stack` knows which, `child` how); `start` and
`runs` talk to control (`client`); `show` draws. A new command is a module here and a line below.
"""

from dialer.cli.demo import demo
from dialer.cli.group import Commands
from dialer.cli.health import healthcheck
from dialer.cli.migrate import migrate
from dialer.cli.runs import runs
from dialer.cli.serve import serve
from dialer.cli.start import start
from dialer.cli.up import up

main = Commands(
    "dialer",
    help="Works through lists of calls: at most one call per attempt, never more than the limit at once.",
    commands=[demo, up, serve, migrate, start, runs, healthcheck],
    context_settings={"help_option_names": ["-h", "--help"]},
)
