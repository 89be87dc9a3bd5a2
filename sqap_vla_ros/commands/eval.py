# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Success of a checkpoint by variant and control: `sqap-vla eval`.

All rows run on the same initial states (paired by seed), so that differences between them have
paired intervals; controls show whether the policy looks and listens at all.
"""

from __future__ import annotations

from contextlib import closing
import dataclasses
import hashlib
import json
from pathlib import Path

from .scene import add_scene_arguments
from ..errors import ConfigError
from ..evaluate.plan import BASELINE, Job, plan_rows, VARIANTS
from ..evaluate.rollouts import CONTROLS, MAX_STEPS
from ..evaluate.seeds import episode_seeds, TEST_SEEDS, VALIDATION_SEEDS
from ..evaluate.table import summarize, table_text
from ..sim.options import OFFICIAL_STATES, scene_options
from ..support.files import make_directory
from ..tokens.choice import TIES


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla eval`."""
    add = parser.add_argument
    add('checkpoint', help='checkpoint directory')
    add('--instructions', nargs='+', metavar='TEXT',
        help="the tasks, of one scene; the checkpoint's own unless given")
    add('--episodes-per-task', type=int, default=10)
    add('--variants', default='fp,sqap', help=f'of {", ".join(VARIANTS)}')
    add('--keep', default='154',
        help='numbers of visual tokens that each pruning variant keeps, such as 154,102,64')
    add('--ties', choices=TIES, default=TIES[-1],
        help='which of equally far tokens sampling takes first: the lowest index, or evenly '
        'spread ones')
    add('--controls', default='none', help='what the policy is given instead of the truth: '
        + '; '.join(f'{name}: {text}' for name, text in CONTROLS.items()))
    add('--control-variants', default=BASELINE,
        help="variants or rows (as 'sqap@154') that the controls are run for")
    add('--seed', type=int, default=TEST_SEEDS[0],
        help=f'first seed; test seeds are {TEST_SEEDS[0]} to {TEST_SEEDS[-1]}, training picks '
        f'its best checkpoint on {VALIDATION_SEEDS[0]} to {VALIDATION_SEEDS[-1]}')
    add('--max-steps', type=int, default=MAX_STEPS, help='control steps (0.05 s) of an episode')
    add('--processes', type=int, default=2)
    add('--out', help='write the results to this JSON file; the same command goes on with an '
        'interrupted run')
    add_scene_arguments(parser, official=True)


def run(args) -> int:
    """Evaluate every row, or what an interrupted run left of them, and print one table."""
    from ..evaluate.progress import Progress
    options = plan_options(args)
    rows = plan_rows(*(options[name] for name in
                       ('variants', 'keep', 'controls', 'control_variants')))
    seeds = episode_seeds(args.seed, len(options['instructions']), args.episodes_per_task)
    jobs = [Job(row, seed) for row in rows for seed in seeds]
    out = _output(args.out)
    progress = Progress(out and out.with_name(out.name + '.part.jsonl'), options)
    try:
        _run_missing(jobs, progress, args, options)
    except KeyboardInterrupt:
        print(f'\ninterrupted: {len(progress.finished)} of {len(jobs)} episodes '
              + ('are kept, the same command goes on' if out else 'are lost without --out'))
        raise
    results = {row: [progress.finished[Job(row, seed).key] for seed in seeds] for row in rows}
    table = summarize(rows, results, options['instructions'])
    print(table_text(table, options['instructions']))
    if out:
        _write(out, options, table, results)
        progress.remove()
    return 0


def _output(name: str | None) -> Path | None:
    """Return the path of --out with its directory made; raise ConfigError if it cannot be."""
    if not name:
        return None
    make_directory(Path(name).resolve().parent)
    return Path(name)


def plan_options(args) -> dict:
    """
    Return everything that decides the results, as plain values.

    Raises CheckpointError, ConfigError or ObservationError for what cannot be run.
    """
    from ..evaluate.workers import require_simulator
    from ..formats import checkpoint
    from ..model.prompt import Prompt
    require_simulator()
    _check_numbers(args)
    config = checkpoint.read_config(args.checkpoint)
    prompt = Prompt(checkpoint.read_tokenizer(args.checkpoint), config.model.text_length)
    instructions = list(args.instructions or config.instructions)
    if not instructions:
        raise ConfigError(f'{args.checkpoint} names no instructions: give --instructions')
    for text in instructions:
        prompt.encode(text)
    digest = hashlib.sha256()
    for name in checkpoint.FILES:
        digest.update((Path(args.checkpoint) / name).read_bytes())
    return {
        'checkpoint': Path(args.checkpoint).resolve().name,
        'checkpoint_sha256': digest.hexdigest(), **scene_options(args, instructions).values(),
        'variants': args.variants.split(','),
        'keep': parse_keep(args.keep, config.model.num_visual),
        'ties': args.ties, 'controls': args.controls.split(','),
        'control_variants': args.control_variants.split(','),
        'episodes_per_task': args.episodes_per_task, 'seed': args.seed,
        'max_steps': args.max_steps}


def _check_numbers(args) -> None:
    """Raise ConfigError for counts that make no evaluation."""
    for name in ('max_steps', 'processes'):
        if getattr(args, name) < 1:
            raise ConfigError(f'--{name.replace("_", "-")} is {getattr(args, name)}, expected at '
                              'least 1')
    if args.initial_states and args.episodes_per_task > OFFICIAL_STATES:
        raise ConfigError(f'--initial-states has {OFFICIAL_STATES} states a task: more '
                          '--episodes-per-task would only repeat them')


def parse_keep(text: str, total: int) -> list[int]:
    """Return the numbers of kept tokens; raise ConfigError unless each is in 1..total."""
    try:
        keeps = [int(part) for part in text.split(',')]
    except ValueError:
        keeps = []
    if not keeps or not all(1 <= keep <= total for keep in keeps) or len(set(keeps)) < len(keeps):
        raise ConfigError(f'--keep {text}: give different numbers of 1..{total} tokens, such as '
                          f'{total * 3 // 5},{total * 2 // 5}')
    return keeps


def _run_missing(jobs, progress, args, options) -> None:
    """Run the jobs that are not finished yet, with a progress bar."""
    from tqdm import tqdm
    from ..evaluate.workers import fingerprint, run_episodes, Scene
    missing = [job for job in jobs if job.key not in progress.finished]
    if not missing:
        return
    scene = Scene(
        args.checkpoint, scene_options(args, options['instructions']), args.max_steps,
        args.ties, fingerprint(args.checkpoint))
    with closing(run_episodes(missing, scene, args.processes)) as finished, tqdm(
            total=len(jobs), initial=len(jobs) - len(missing), unit='episode',
            smoothing=0.05) as bar:
        for job, result in finished:
            progress.add(job, result)
            bar.set_postfix_str(f'{job.row.name} {job.row.control}')
            bar.update()


def _write(out: Path, options: dict, table: list[dict], results: dict) -> None:
    """Write the results to a JSON file, whole or not at all."""
    from ..demo.summary import machine, versions
    from ..support.files import saving_to, write_whole
    episodes = [{'variant': row.name, 'control': row.control, **dataclasses.asdict(result)}
                for row, of_row in results.items() for result in of_row]
    content = json.dumps({**options, 'machine': machine(), 'versions': versions(),
                          'table': table, 'episodes': episodes}, indent=1).encode() + b'\n'
    with saving_to(out.parent, len(content), 'the finished episodes are kept'):
        write_whole(out, content)
