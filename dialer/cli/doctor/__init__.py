"""`dialer doctor`: what is wrong with an installation, and what to do about it.

A module is one group of checks: `look` measures through edges, `judge…` turns what was measured into findings and is
pure. `examine` knows the groups, what each needs, and their order; `command` prints. A new check is a finding of a
group; a new group is a module and a line in `examine`.
"""

from dialer.cli.doctor.command import doctor

__all__ = ["doctor"]
