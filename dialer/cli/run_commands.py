"""`dialer runs`: looking at runs, and acting on them."""

from dialer.cli.export import export
from dialer.cli.run_actions import cancel, force_cancel, pause, resume, retry, stop
from dialer.cli.runs import runs

for _command in (pause, resume, cancel, force_cancel, stop, retry, export):
    runs.add_command(_command)

__all__ = ["runs"]
