# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the generated parts of docs/: they stand between markers, and what is around them stays.

    make docs            writes them; with ARGS=--check it only says which of them are stale
"""

import argparse
import os
from pathlib import Path
import sys
import tempfile

from interface import interface_tables
from markers import NEAR_MISSES, PAGES, written
from tables import message_texts, parameter_tables, policy_table, simulator_table

ROOT = Path(__file__).resolve().parents[2]


def parts() -> dict[str, str]:
    """Return the text of each generated part by its name."""
    return {**interface_tables(), 'parameters of vla_node': parameter_tables(),
            'parameters of libero_sim_node': simulator_table(),
            'own messages': message_texts(ROOT), 'policy options': policy_table(),
            'near misses': near_misses()}


def near_misses() -> str:
    """Return what is said of near misses, which test/near_misses.py makes."""
    sys.path.insert(0, str(ROOT / 'test'))
    from near_misses import table
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as place:
        return table(Path(place))


def main() -> int:
    """Write the pages; with --check return 1 where one is stale."""
    parser = argparse.ArgumentParser(prog='write_docs', description=__doc__.splitlines()[1])
    parser.add_argument('--check', action='store_true', help='write nothing; 1 if one is stale')
    check = parser.parse_args().check
    texts, stale = parts(), []
    for path in (ROOT / name for name in (*PAGES, NEAR_MISSES)):
        before = path.read_text(encoding='utf-8')
        after = written(before, texts)
        if after != before:
            stale.append(path.name)
            if not check:
                path.write_text(after, encoding='utf-8')
    print(f'{"stale" if check else "written"}: {", ".join(stale) or "nothing"}')
    return 1 if check and stale else 0


if __name__ == '__main__':
    sys.exit(main())
