"""The `dialer` command: a client of control's HTTP interface, and the starter of all processes.

Where things are: `demo`, `up` and `serve` start processes (`stack` knows which, `child` how); all others talk to
control (`client`, `patience`, `lists`); `show` draws. A new command is a module here and a line below; then
`python -m dialer.cli.reference > docs/cli.md` and `python -m dialer.cli.manual > docs/dialer.1`.
"""

from dialer.cli.businesses import businesses
from dialer.cli.completion import completion
from dialer.cli.config import config
from dialer.cli.demo import demo
from dialer.cli.doctor import doctor
from dialer.cli.drain import drain
from dialer.cli.export import export
from dialer.cli.group import Commands
from dialer.cli.health import healthcheck
from dialer.cli.jobs import jobs
from dialer.cli.keys import keys
from dialer.cli.migrate import migrate
from dialer.cli.recordings import recordings
from dialer.cli.run_actions import cancel, force_cancel, pause, resume, retry, stop
from dialer.cli.runs import runs
from dialer.cli.serve import serve
from dialer.cli.slots import slots
from dialer.cli.start import start
from dialer.cli.status import status
from dialer.cli.up import up

for _command in (pause, resume, cancel, force_cancel, stop, retry, export):
    runs.add_command(_command)

main = Commands(
    "dialer",
    help="Works through lists of calls: at most one call per attempt, never more than the limit at once.",
    commands=[
        demo,
        up,
        serve,
        migrate,
        start,
        runs,
        jobs,
        recordings,
        status,
        doctor,
        drain,
        slots,
        businesses,
        keys,
        healthcheck,
        config,
        completion,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
