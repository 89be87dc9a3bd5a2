# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Distractors: objects of the benchmark that stand on the table and belong to no goal."""
from contextlib import contextmanager
from pathlib import Path
import tempfile

from sqap_vla_ros.errors import ConfigError

# Upright things of the benchmark's groceries and dishes, smaller than a hand is wide.
CATEGORIES = ('milk', 'porcelain_mug', 'ketchup', 'butter', 'orange_juice', 'red_coffee_mug',
              'tomato_sauce', 'chocolate_pudding', 'salad_dressing', 'alphabet_soup',
              'bbq_sauce', 'cream_cheese')
_REGION = '{name}_distractor_region'
_ANYWHERE = '-0.25 -0.35 0.25 0.35'  # where the benchmark first puts them, m


def add_distractors(task, count):
    """Return (the task's text with `count` more of CATEGORIES, their names) or a ConfigError."""
    text = task.path.read_text(encoding='utf-8')
    if not count:
        return text, ()
    problem = task.parse()
    present = {*problem['objects'], *problem['fixtures']}
    absent = [category for category in CATEGORIES if category not in present]
    if count > len(absent):
        raise ConfigError(f'{count} distractors asked for, but only {len(absent)} kinds of '
                          f'object are not in the scene already: use at most {len(absent)}')
    table = _table(problem)
    chosen = absent[:count]
    names = tuple(f'{category}_1' for category in chosen)
    regions = [f'({_REGION.format(name=name)} (:target {table}) (:ranges (({_ANYWHERE}))))'
               for name in names]
    states = [f'(On {name} {table}_{_REGION.format(name=name)})' for name in names]
    objects = [f'{name} - {category}' for name, category in zip(names, chosen)]
    for section, lines in ((':regions', regions), (':objects', objects), (':init', states)):
        text = _append(text, section, '\n'.join(lines))
    return text, names


@contextmanager
def task_file(text):
    """Yield the path of a temporary task file with this text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'task.bddl')
        path.write_text(text, encoding='utf-8')
        yield path


def _table(problem):
    return next(region['target'] for region in problem['regions'].values() if region['ranges'])


def _append(text, section, addition):
    """Return the text with an addition at the end of a section, in front of its bracket."""
    start = text.index(f'({section}')
    depth = 0
    for end in range(start, len(text)):
        depth += {'(': 1, ')': -1}.get(text[end], 0)
        if depth == 0:
            return f'{text[:end]}\n{addition}\n{text[end:]}'
    raise ConfigError(f'the task file does not close its section {section}')
