# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Success of a checkpoint of any format by variant and control: what `sqap-vla eval` does.

All rows run on the same initial states (paired by seed), so that differences between them have
paired intervals; controls show whether the policy looks and listens at all.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
import dataclasses
from dataclasses import dataclass
import json
from pathlib import Path

from .conventions import image_doubts
from .converted import open_converted
from .encoder_type import rounded_vision, unusual
from .plan import BASELINE, Job, names_auto, plan_rows, Row
from .progress import Progress
from .rollouts import MAX_STEPS
from .seeds import episode_seeds, TEST_SEEDS
from .simulated_robot import check_cameras
from .table import summarize, table_text
from .workers import require_simulator, run_episodes, Scene
from ..errors import ConfigError
from ..ingest.state import check_state, state_of
from ..numerics.precision import same_weights
from ..options import PolicyOptions
from ..sim.options import OFFICIAL_STATES, SceneOptions
from ..sim.sensors import GRIPPER_JOINT, HAND_FRAME, WORLD_FRAME
from ..support.checkpoint_files import digest, fingerprint
from ..support.files import check_output, make_directory, saving_to, write_whole
from ..support.locks import Lock
from ..support.progress import Progress as Shown


@dataclass(frozen=True)
class EvaluationOptions:
    """
    What an evaluation is asked for; commands/eval.py explains each.

    policy: what all rows have in common.  variants: empty for full precision and 4 bits with
    pruning, or those of a converted checkpoint's precision.  scene.instructions: empty for the
    checkpoint's own, or all of the suite where it names none.  out: a JSON file for the results,
    which another run with more rows or episodes goes on with.  quantized: a directory of the
    checkpoint's 4-bit weights, see converted.py.  Raises ConfigError for counts that make no
    evaluation.
    """

    checkpoint: str
    policy: PolicyOptions = PolicyOptions()
    scene: SceneOptions = SceneOptions()
    variants: tuple[str, ...] = ()
    keep: tuple[int, ...] = (154,)
    controls: tuple[str, ...] = ('none',)
    control_variants: tuple[str, ...] = (BASELINE,)
    episodes_per_task: int = 10
    seed: int = TEST_SEEDS[0]
    max_steps: int = MAX_STEPS
    processes: int = 2
    out: str | None = None
    quantized: str | None = None

    def __post_init__(self):
        """Check the counts."""
        for name in ('max_steps', 'processes'):
            if getattr(self, name) < 1:
                raise ConfigError(f'--{name.replace("_", "-")} is {getattr(self, name)}, '
                                  'expected at least 1')
        if self.scene.initial_states and self.episodes_per_task > OFFICIAL_STATES:
            raise ConfigError(f'--initial-states has {OFFICIAL_STATES} states a task: more '
                              '--episodes-per-task would only repeat them')


def evaluate(options: EvaluationOptions) -> list[dict]:
    """
    Run every row, or what an interrupted run left of them; print and return the table.

    Raises CheckpointError, ConfigError or ObservationError, before any episode, for what cannot
    be run.
    """
    require_simulator()
    with Shown('reading the checkpoint and the tasks'):
        options, rows = _settled(options)
    instructions = options.scene.instructions
    seeds = episode_seeds(options.seed, len(instructions), options.episodes_per_task)
    out = options.out and Path(options.out)
    if out:
        make_directory(out.resolve().parent)
        check_output(out, '--out')
    with Shown('reading the weights, to know them again'):
        facts = {**_facts(options), **{'auto': row.auto for row in rows if row.auto},
                 **rounded_vision(options.checkpoint, options.policy, rows, options.quantized)}
    with Lock(out.with_name(out.name + '.lock'), f'evaluating into {out}') if out else (
            nullcontext()):
        return _evaluated(options, rows, seeds, facts, out)


def _evaluated(options: EvaluationOptions, rows, seeds, facts, out: Path | None):
    """Run what is missing, print the table and write it."""
    instructions = options.scene.instructions
    jobs = [Job(row, seed) for row in rows for seed in seeds]
    progress = Progress(out and out.with_name(out.name + '.part.jsonl'), facts, out)
    try:
        _run_missing(jobs, progress, options)
    except KeyboardInterrupt:
        done = sum(job.key in progress.finished for job in jobs)
        print(f'\ninterrupted: {done} of {len(jobs)} episodes '
              + ('are kept, the same command goes on' if out else 'are lost without --out'))
        raise
    results = {row: [progress.finished[Job(row, seed).key] for seed in seeds] for row in rows}
    table = summarize(rows, results, instructions)
    print(table_text(table, instructions))
    if out:
        _write(out, table, progress)
        progress.remove()
    return table


def _settled(options: EvaluationOptions) -> tuple[EvaluationOptions, list[Row]]:
    """Return the options with what the checkpoint decides, and the table's rows."""
    from ..formats import open_checkpoint
    from ..loading.chosen_options import with_options
    from ..model.prompt import make_prompt
    source = open_checkpoint(options.checkpoint, options.policy.tokenizer)
    source = source.with_key(options.policy.unnorm_key)
    config = with_options(source.config, options.policy)
    source.check_driving(config)
    check_action_space(config.action_space)
    check_cameras(config.cameras)
    check_state(state_of(config), GRIPPER_JOINT, (WORLD_FRAME, HAND_FRAME))
    for doubt in image_doubts(config):
        print(f'note: {doubt}')
    record = config.quantization
    stored = record.get('precision', 'fp')
    options = dataclasses.replace(
        options, variants=options.variants or usual_variants(stored if record else None),
        scene=dataclasses.replace(
            options.scene, instructions=_instructions(options.scene, config.instructions)))
    check_keep(options.keep, config.model.num_visual)
    rows = plan_rows(options.variants, options.keep, options.controls, options.control_variants,
                     auto_of(options.variants, config, options.policy, options.quantized))
    check_rows(source, rows, options.quantized)
    prompt = make_prompt(config.prompt, source.read_tokenizer(), config.model.text_length,
                         config.model.llm.vocab_size)
    for text in options.scene.instructions:
        prompt.encode(text)
    return options, rows


def check_action_space(space) -> None:
    """Raise ConfigError unless the simulated arm can be driven by such actions."""
    from ..sim.units import COMMAND_SCALES, CONTROL_PERIOD_S
    if space.kind not in COMMAND_SCALES or space.frame != 'base':
        raise ConfigError(
            f'the simulated arm is driven by {" or ".join(COMMAND_SCALES)} in the base frame, the '
            f'checkpoint gives {space.kind} in frame {space.frame}')
    periods = space.dt / CONTROL_PERIOD_S
    if round(periods) < 1 or abs(periods - round(periods)) > 1e-6:
        raise ConfigError(f'action space: dt is {space.dt} s, but the simulated arm takes a '
                          f'command every {CONTROL_PERIOD_S} s: a whole multiple is needed')


def usual_variants(stored: str | None) -> tuple[str, ...]:
    """Return the default variants; stored: precision of a converted checkpoint, else None."""
    if stored is None:
        return BASELINE, 'sqap'
    return stored, {'w4a4': 'sqap', BASELINE: 'prune'}.get(stored, f'{stored}-prune')


def check_rows(source, rows, quantized: str | None = None) -> None:
    """
    Raise ConfigError for a row whose weights a checkpoint, a Source, does not hold.

    quantized: a directory that was converted from it; one that no row takes is refused, too.
    """
    from ..loading.network import check_precision
    converted = open_converted(quantized, source) if quantized else None
    if converted and not any(row.takes_converted for row in rows):
        raise ConfigError(f'--quantized {quantized}: no variant takes its weights, name one of '
                          f'{", ".join(same_weights("w4a4"))} or leave it out')
    for row in rows:
        held = converted if converted and row.takes_converted else source
        record = held.config.quantization
        check_precision(held, row.precision)
        if record and row.facts.is_nearest:  # never of a conversion beside the original
            raise ConfigError(f'{row.variant} rounds weights to nearest, and {source.path} is '
                              'converted already: name the original checkpoint')


def auto_of(variants, config, policy: PolicyOptions, quantized=None) -> str:
    """
    Return what auto stands for and print why; '' where none of the variants names it.

    quantized: directory that the weights of 4 bits are taken from, None or '' for none.
    """
    from ..formats import open_checkpoint
    from ..inference.device import find_device
    from ..loading.machines import auto_precision
    if not names_auto(variants):
        return ''
    record = (open_checkpoint(quantized).config if quantized else config).quantization
    choice = auto_precision(config.model, record, find_device(policy.device), policy.int8)
    print(f'precision {choice}', flush=True)
    return choice.precision


def _instructions(scene: SceneOptions, own: tuple[str, ...]) -> tuple[str, ...]:
    """Return those asked for, else the checkpoint's own, else all of the suite."""
    from ..sim.tasks import find_tasks
    return tuple(find_tasks(scene.suite, scene.instructions or own or None))


def check_keep(keeps, total: int) -> None:
    """Raise ConfigError for numbers of tokens that are doubled, or more than there are."""
    if not keeps or not all(1 <= keep <= total for keep in keeps) or len(set(keeps)) < len(keeps):
        raise ConfigError(f'--keep {",".join(map(str, keeps))}: give different numbers of '
                          f'1..{total} tokens, such as {total * 3 // 5},{total * 2 // 5}')


def _facts(options: EvaluationOptions) -> dict:
    """Return everything that decides the results, as plain values."""
    return {
        'checkpoint': Path(options.checkpoint).resolve().name,
        'checkpoint_sha256': digest(options.checkpoint), **options.scene.values(),
        **{name: list(getattr(options, name))
           for name in ('variants', 'keep', 'controls', 'control_variants')},
        'ties': options.policy.sample_ties, 'policy': unusual(options.policy),
        **({'quantized': Path(options.quantized).resolve().name,
            'quantized_sha256': digest(options.quantized)} if options.quantized else {}),
        **{name: getattr(options, name) for name in ('episodes_per_task', 'seed', 'max_steps')}}


def _run_missing(jobs, progress, options: EvaluationOptions) -> None:
    """
    Run the jobs that are not finished yet, with a progress bar.

    A row's episodes are run task by task: tasks of another scene take seconds to build.
    """
    missing = [job for job in jobs if job.key not in progress.finished]
    if not missing:
        return
    places, tasks = {job.row: place for place, job in enumerate(jobs)}, len(
        options.scene.instructions)
    missing.sort(key=lambda job: (places[job.row], job.seed % tasks, job.seed))
    scene = Scene(options.checkpoint, options.scene, options.max_steps, options.policy,
                  quantized=options.quantized)
    scene = dataclasses.replace(scene, fingerprint=fingerprint(*scene.files))
    with closing(run_episodes(missing, scene, options.processes)) as finished, Shown(
            'eval', total=len(jobs), done=len(jobs) - len(missing), unit='episode') as shown:
        for job, result in finished:
            progress.add(job, result)
            shown.advance(note=f'{job.row.name} {job.row.control}')


def _write(out: Path, table: list[dict], progress: Progress) -> None:
    """Write the table and all episodes, of earlier runs too, whole or not at all."""
    from ..support.machine import machine, versions
    episodes = [{'variant': variant, 'control': control, **dataclasses.asdict(result)}
                for (variant, control, _), result in progress.finished.items()]
    content = json.dumps({**progress.options, 'machine': machine(), 'versions': versions(),
                          'table': table, 'episodes': episodes}, indent=1).encode() + b'\n'
    with saving_to(out.parent, len(content), 'the finished episodes are kept'):
        write_whole(out, content)
