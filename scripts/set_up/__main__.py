# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the set-up, see program.py: `python3 scripts/set_up [OPTIONS] [-- COMMAND ...]`.

Written so that any Python can read it: one that is too old says what to do and ends.
"""
import os
import sys

NEEDED = ((3, 10), (3, 13))


def refusal(version, directories):
    """Return what to tell the user of a Python of this version, '' if it can run the set-up."""
    if version[:2] >= NEEDED[0]:
        return ''
    others = ['python3.%d' % minor for minor in range(NEEDED[1][1], NEEDED[0][1] - 1, -1)]
    found = [name for name in others
             if any(os.access(os.path.join(path, name), os.X_OK) for path in directories)]
    return ('set-up stopped: this is Python %d.%d, and %d.%d to %d.%d are known to work: ' % (
        tuple(version[:2]) + NEEDED[0] + NEEDED[1])
        + ('say `make demo PYTHON=%s`, which is here' % found[0] if found else
           'install one of them and say, for example, `make demo PYTHON=python3.12`'))


def start():
    """Return the exit status of the set-up, or become the command that it was given."""
    refused = refusal(sys.version_info, os.environ.get('PATH', '').split(os.pathsep))
    if refused:
        sys.stderr.write(refused + '\n')
        return 1
    from program import main
    return main()


if __name__ == '__main__':
    sys.exit(start())
