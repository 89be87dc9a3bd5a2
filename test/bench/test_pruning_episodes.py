# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes by benchmarks/pruning: a candidate answers as the policy would that chooses so."""
import dataclasses
import json

import numpy as np
from pruning import episodes
from pruning.candidates import CANDIDATES
from pruning.episodes import ALL, ChoosingPolicy, mean_of_looks, Try
from pruning.states import phase_of, PHASES
import pruning_episodes
import pytest
from tiny_policies import observation

HAND_PX = np.array([40.0, 60.0])  # where tiny_policies.observation protects
KEEP = 20


class Scene:
    """What ChoosingPolicy asks a LiberoEnv: points 1 m in front of a camera, object first."""

    image_size = (90, 120)

    def __init__(self, gripper=1.0):
        self.gripper, self.thing = gripper, [0.3, 0.0, 1.0]

    def task_points(self):
        return np.array([self.thing, [0.3, 0.3, 1.0], [*(HAND_PX - [60, 45]) / 100, 1.0]])

    def camera_pose(self):
        return np.eye(4)

    def camera_intrinsics(self):
        return np.array([[100.0, 0, 60], [0, 100, 45], [0, 0, 1]])

    def gripper_open(self):
        return self.gripper


def answered(policy, candidate, env=None, looks=1, **changes):
    """Return (actions of the last look, what was noted) of a candidate."""
    driver = ChoosingPolicy(policy, env or Scene(), Try('x', 0, candidate, KEEP, **changes))
    chunks = [driver.infer(seen(case)) for case in range(looks)]
    return chunks[-1].actions, driver.looks


def seen(case):
    return observation('chunk', case)


def test_all_tokens_are_the_policys_own_answer(load):
    policy = load('chunk')
    found, looks = answered(policy, ALL)
    assert np.allclose(found, policy.infer(seen(0)).actions, atol=1e-5) and not looks


@pytest.mark.parametrize('candidate, options', [
    ('as shipped', {}), ('follow', {'dropped': 'follow'}), ('no ring', {'protect': False}),
    ('best scores alone', {'selection_method': 'attention', 'protect': False})])
def test_a_candidate_is_the_policy_with_that_selection(load, candidate, options):
    """Also in the second look: the ring lies where the policy's own projection has it."""
    policy = load('chunk', keep=KEEP, **options)
    expected = [policy.infer(seen(case)).actions for case in range(2)][-1]
    found, looks = answered(load('chunk'), candidate, looks=2)
    assert np.allclose(found, expected, atol=1e-5)
    assert len(looks) == 2 and all(look['error'] > 0 for look in looks)
    other = load('chunk', keep=KEEP - 8, **options)
    other.infer(seen(0))
    assert not np.allclose(found, other.infer(seen(1)).actions, atol=1e-5)


def test_tokens_are_dropped_in_the_phases_that_are_named_alone(load):
    policy = load('chunk')
    whole, pruned = (answered(policy, name)[0] for name in (ALL, 'as shipped'))
    assert not np.allclose(whole, pruned, atol=1e-5)
    here, looks = answered(policy, 'as shipped', phases=('far',))
    assert np.allclose(here, pruned) and [look['phase'] for look in looks] == ['far']
    others = tuple(phase for phase in PHASES if phase != 'far')
    elsewhere, looks = answered(policy, 'as shipped', phases=others)
    assert np.allclose(elsewhere, whole) and not looks


def test_phases_follow_object_hand_and_gripper():
    begun, place, hand = (np.array(each) for each in ([0, 0, 0], [1, 0, 0], [0.5, 0, 0]))

    def phase(thing, hand, gripper=1.0):
        return phase_of(begun, np.array([thing, place, hand]), gripper)
    assert phase(begun, hand) == 'far' and phase(begun, begun) == 'near'
    assert phase(begun, begun, 0.5) == 'grasp'
    assert phase([0, 0, 0.1], [0, 0, 0.1], 0.5) == 'carry'
    assert phase([0.95, 0, 0.1], [0.95, 0, 0.1], 0.5) == 'place'


def test_a_set_is_kept_for_two_looks(load):
    kept, one = [], CANDIDATES['each set kept for two looks']

    def noted(moment, keep):
        kept.append(one.kept(moment, keep))
        return kept[-1]
    policy = load('chunk')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CANDIDATES, 'noted', dataclasses.replace(one, kept=noted))
        answered(policy, 'noted', looks=4)
    first, second, third, fourth = kept
    assert np.array_equal(first, second) and np.array_equal(third, fourth)
    assert not np.array_equal(second, third)


def episode(seed, success, error=0.5):
    return {'seed': seed, 'success': success, 'instruction': f'task {seed % 2}', 'steps': 10,
            'looks': [{'step': step, 'phase': 'far' if step < 8 else 'near', 'error': more * error,
                       'facts': [error] * 7} for step, more in ((0, 1), (4, 1), (8, 4), (12, 9))]}


def test_rows_are_paired_by_start_and_lost_ones_are_those_that_all_tokens_won():
    whole = [episode(seed, seed != 3) for seed in range(4)]
    shipped = [episode(seed, seed == 0) for seed in range(4)]
    assert pruning_episodes.lost_starts(whole, shipped) == [1, 2]
    row = pruning_episodes.row_of(shipped, whole, shipped)
    assert row['successes'] == 1 and row['by_instruction'] == {'task 0': 1, 'task 1': 0}
    assert (row['less all tokens']['won'], row['less all tokens']['lost']) == (0, 2)
    assert row['less as shipped']['difference'] == 0
    told = pruning_episodes.told_of_lost([1, 2], shipped, whole)
    assert (told['lost']['episodes'], told['won']['episodes']) == (2, 1)
    assert told['lost']['facts']['all'] == [0.5] * 7
    assert row['lost starts won'] == []
    assert pruning_episodes.row_of(whole, whole, shipped)['lost starts won'] == [1, 2]
    tries = pruning_episodes.by_phase('x', KEEP, [1, 2])
    assert len(tries) == 2 * len(PHASES)
    assert tries['grasp alone'][0].phases == ('grasp',)
    assert tries['all but grasp'][1].phases == ('far', 'near', 'carry', 'place')


def test_errors_are_means_over_episodes_up_to_a_step():
    """Twice as many looks of one episode do not count twice, and none after its end."""
    longer = {**episode(1, False, 0.4), 'looks': 2 * episode(1, False, 0.4)['looks']}
    found = mean_of_looks([episode(0, True, 0.2), longer], {0: 10, 1: 10},
                          lambda look: look['error'])
    assert found == pytest.approx({'all': 0.6, 'far': 0.3, 'near': 1.2})  # 3 looks of 2 x 0.3
    unknown = mean_of_looks([episode(0, True), episode(1, True)], {0: 10, 1: 10}, lambda look: [
        np.nan if look['step'] else 2.0, np.nan])
    assert unknown['far'] == [2.0, None] and unknown['near'] == [None, None]
    assert 'near' not in mean_of_looks([episode(0, True)], {0: 8}, lambda look: look['error'])


def test_finished_episodes_are_not_run_again(tmp_path, monkeypatch):
    tries = [Try('x', seed, 'as shipped', KEEP) for seed in range(3)]
    asked = []

    def jobs(function, missing, processes):
        assert function is episodes.run_try
        for each in missing:
            asked.append(each.seed)
            yield each, episode(each.seed, True)
    monkeypatch.setattr(pruning_episodes, 'run_jobs', jobs)
    part = tmp_path / 'part.jsonl'
    pruning_episodes.run(tries[:2], part, 1, 'x')
    done = pruning_episodes.run(tries, part, 1, 'x')
    assert asked == [0, 1, 2] and len({each.key for each in tries}) == 3
    assert done[tries[2].key] == json.loads(part.read_text().splitlines()[2])[1]
    part.write_text(part.read_text() + '["cut')
    assert pruning_episodes.run(tries, part, 1, 'x') == done and asked == [0, 1, 2]
    assert len(part.read_text().splitlines()) == 3
    phases = dataclasses.replace(tries[0], phases=('far',))
    assert phases.key not in done


def test_a_run_tells_its_table_and_keeps_no_part(tmp_path, monkeypatch, capsys):
    """As shipped loses odd starts, which follow wins back, and all tokens in 'far' do, too."""
    def jobs(function, missing, processes):
        for each in missing:
            won = (each.candidate != 'as shipped' or each.seed % 2 == 0
                   or 'far' not in each.phases)
            yield each, episode(each.seed, won)
    monkeypatch.setattr(pruning_episodes, 'run_jobs', jobs)
    out = tmp_path / 'found.json'
    pruning_episodes.main(['--episodes', '4', '--seed', '820', '--keep', str(KEEP), '--candidates',
                           'follow', '--out', str(out)])
    assert [path.name for path in tmp_path.iterdir()] == ['found.json']
    found = json.loads(out.read_text())
    assert list(found['table']) == [ALL, 'as shipped', 'follow'] and found['lost'] == [821, 823]
    assert found['table']['follow']['lost starts won'] == [821, 823]
    assert found['table']['as shipped']['less all tokens']['lost'] == 2
    assert found['phases']['all but far'] == [821, 823] and found['phases']['far alone'] == []
    shown = capsys.readouterr().out
    assert 'lost starts: [821, 823]' in shown and 'dropped in all but far    2 of 2 won' in shown
