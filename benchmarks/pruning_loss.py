# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Where the loss of pruning comes from in full precision, and what mends it.

    python benchmarks/pruning_loss.py SHARDS [--checkpoint libero_goal] [--clips 17] \
        [--keep 154,102,64] [--oracles 3] [--out benchmarks/results/pruning_loss]

SHARDS: what `sqap-vla collect` has written, of seeds that the checkpoint was not trained on.  The
errors are how far the answers are from those with all tokens: mean absolute, in normalised units,
of the rows that are executed.  Writes OUT.json and OUT.png; finished clips are kept beside them,
so that the same command goes on.
"""
import argparse
import hashlib
import json
from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np  # noqa: E402
from pruning import causes, loss_picture  # noqa: E402
from pruning.candidates import CANDIDATES, chosen, Moment, READ  # noqa: E402
from pruning.replies import reply  # noqa: E402
from pruning.states import clips, PHASES  # noqa: E402
from sqap_vla_ros.policy import load_policy  # noqa: E402
from sqap_vla_ros.support.checkpoint_files import digest  # noqa: E402
from sqap_vla_ros.support.machine import machine, versions  # noqa: E402
from sqap_vla_ros.support.progress import Progress  # noqa: E402
from sqap_vla_ros.support.resources import named_checkpoint  # noqa: E402
import torch  # noqa: E402

RINGS = ('as shipped', 'no ring', 'ring of 3 patches', 'ring 3 patches off',
         'ring 3 patches off, grown by as much', 'best scores alone', 'random')
LOOKS = 3  # of a clip; candidates are measured in the last one and in the one before


@torch.inference_mode()
def measured(policy, clip, keeps) -> list[dict]:
    """Return errors and facts of the last two looks of a clip."""
    moments, found = [], []
    for look in clip:
        moments.append(Moment(look, reply(policy, look), tuple(moments[::-1])))
    for place in (LOOKS - 2, LOOKS - 1):
        moment, before = moments[place], moments[place - 1]
        row = {'clip': clip[0].seed, 'frame': moment.look.frame, 'phase': moment.look.phase,
               'instruction': moment.look.instruction, 'errors': {}, 'facts': {}, 'recall': {}}
        for keep in keeps:
            row['errors'][str(keep)] = {name: one.error(moment, keep)
                                        for name, one in CANDIDATES.items()}
            kept, last = (chosen(each, keep, each.reply.scores(READ), ring=each.ring())
                          for each in (moment, before))
            row['facts'][str(keep)] = causes.facts(moment, kept, last)
            row['recall'][str(keep)] = {name: causes.recall(moment, CANDIDATES[name], keep)
                                        for name in RINGS}
        found.append(row)
    return found


@torch.inference_mode()
def oracles(policy, clip, keeps) -> dict:
    """Return what restoring single patches brings in a clip's last look."""
    moment = Moment(clip[-1], reply(policy, clip[-1]), ())
    order, found = np.argsort(-causes.missed(moment), kind='stable'), {}
    for keep in keeps:
        found[str(keep)] = {**causes.restored(moment, keep), 'kept by what is missed alone':
                            moment.reply.error(np.sort(order[:keep]))}
    return found


def part_file(args, sha256: str) -> Path:
    """Return where finished clips are kept: of this checkpoint, what is kept, and candidates."""
    what = json.dumps([sha256, str(args.shards), args.keep, args.oracles, list(CANDIDATES)])
    return args.out.with_suffix(f'.{hashlib.sha256(what.encode()).hexdigest()[:8]}.part.json')


def run(args, policy, found, part) -> list[dict]:
    """Return one dictionary a clip, with those that are there already."""
    side = policy.model.config.vision.image_size // policy.grid[1]
    steps = policy.config.action_space.execute_steps
    shown = clips(args.shards, args.clips, LOOKS, steps, side)
    done = {each['clip'] for each in found}
    with Progress('pruning loss', total=len(shown), unit='clip') as progress:
        for place, clip in enumerate(shown):
            if clip[0].seed not in done:
                each = {'clip': clip[0].seed, 'looks': measured(policy, clip, args.keep)}
                if place < args.oracles:
                    each['oracles'] = oracles(policy, clip, args.keep)
                found.append(each)
                part.write_text(json.dumps(found))
            progress.advance()
    return found


def table(found, keeps) -> dict:
    """
    Return by number of tokens and candidate: error, standard error, ratio, by phase, task.

    Of a phase or task: error, paired difference to that as shipped, and its standard error.
    """
    looks = [look for each in found for look in each['looks']]
    phases, tasks = (np.array([look[name] for look in looks]) for name in ('phase', 'instruction'))
    members, result = np.array([each['clip'] for each in found for _ in each['looks']]), {}
    for keep in map(str, keeps):
        usual = np.array([look['errors'][keep]['as shipped'] for look in looks])
        rows = {}
        for name in CANDIDATES:
            errors = np.array([look['errors'][keep][name] for look in looks])
            of_clips = errors.reshape(-1, 2).mean(axis=1)
            differences = (errors - usual).reshape(-1, 2).mean(axis=1)
            root = len(of_clips) ** 0.5
            rows[name] = {
                'error': float(errors.mean()), 'ratio': float(errors.mean() / usual.mean()),
                'standard_error': float(of_clips.std(ddof=1) / root),
                'difference': float(differences.mean()),
                'difference_standard_error': float(differences.std(ddof=1) / root),
                'phases': {phase: part(errors, usual, members, phases == phase)
                           for phase in PHASES if (phases == phase).any()},
                'tasks': {str(task): part(errors, usual, members, tasks == task)
                          for task in np.unique(tasks)}}
        result[keep] = rows
    return result


def part(errors, usual, members, which) -> list[float | None]:
    """
    Return the error of some looks, its difference to the usual one, and the standard error of it.

    members: whose clip a look is.  The standard error is over clips, None with fewer than two.
    """
    differences = [(errors - usual)[which & (members == name)].mean()
                   for name in np.unique(members[which])]
    spread = np.std(differences, ddof=1) if len(differences) > 1 else None
    return [float(errors[which].mean()), float(np.mean(differences)),
            None if spread is None else float(spread / len(differences) ** 0.5)]


def summary(found, keeps) -> dict:
    """Return everything that the JSON file tells."""
    looks = [look for each in found for look in each['looks']]
    members = np.array([look['clip'] for look in looks])
    told = {'table': table(found, keeps), 'looks': len(looks), 'clips': len(found),
            'phases': {phase: sum(look['phase'] == phase for look in looks) for phase in PHASES},
            'facts': {}, 'recall': {}, 'oracles': {}}
    seen = [each['oracles'] for each in found if 'oracles' in each]
    for keep in map(str, keeps):
        errors = np.array([look['errors'][keep]['as shipped'] for look in looks])
        told['facts'][keep] = causes.correlations(
            [look['facts'][keep] for look in looks], errors, members)
        told['recall'][keep] = {
            name: float(np.nanmean([look['recall'][keep][name] for look in looks]))
            for name in RINGS}
        if seen:
            told['oracles'][keep] = {
                name: np.mean([each[keep][name] for each in seen], axis=0).tolist()
                for name in seen[0][keep] if name not in ('gain', 'best')}
    return told


def show(told) -> None:
    """Print the tables for people."""
    for keep, rows in told['table'].items():
        print(f'\n{keep} tokens, {told["looks"]} looks of {told["clips"]} clips:  error  ratio   '
              'difference' + ''.join(f'{phase:>9}' for phase in PHASES))
        for name, row in sorted(rows.items(), key=lambda item: item[1]['error']):
            print(f'{name:38} {row["error"]:.4f} {row["ratio"]:6.2f} {row["difference"]:+.4f} '
                  f'+-{row["difference_standard_error"]:.4f}' + ''.join(
                      f'{row["phases"].get(phase, [float("nan")])[0]:9.4f}' for phase in PHASES))
        print('rank correlation with the error as shipped (95 %):')
        for name, (middle, low, high) in told['facts'][keep].items():
            print(f'  {name:50} {middle:+.2f} ({low:+.2f} .. {high:+.2f})')
        print('share of the patches round the gripper that is kept: ' + ', '.join(
            f'{name} {share:.2f}' for name, share in told['recall'][keep].items()))
        for name, value in told['oracles'].get(keep, {}).items():
            print(f'  oracle, {name:42} {np.round(value, 4)}')


def main():
    """Measure, print the tables, write JSON and picture."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument('shards', type=Path)
    parser.add_argument('--checkpoint', default='libero_goal')
    parser.add_argument('--clips', type=int, default=17)
    parser.add_argument('--keep', default='154,102,64',
                        type=lambda text: [int(part) for part in text.split(',')])
    parser.add_argument('--oracles', type=int, default=3)
    parser.add_argument('--out', type=Path,
                        default=Path(__file__).parent / 'results' / 'pruning_loss')
    args = parser.parse_args()
    torch.set_num_threads(1)
    policy, sha256 = (act(named_checkpoint(args.checkpoint)) for act in (load_policy, digest))
    part = part_file(args, sha256)
    found = run(args, policy, json.loads(part.read_text()) if part.is_file() else [], part)
    told = {**summary(found, args.keep), 'checkpoint': Path(args.checkpoint).name,
            'checkpoint_sha256': sha256,
            'machine': machine(), 'versions': versions()}
    show(told)
    args.out.with_suffix('.json').write_text(json.dumps(told, indent=1) + '\n')
    loss_picture.draw(args.out.with_suffix('.png'), told, policy, found, args)
    part.unlink()


if __name__ == '__main__':
    main()
