# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Rollouts without ROS: what the policy sees, how episodes are counted."""
from types import SimpleNamespace

from libero_scene import libero_env
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.evaluate import evaluate
from sqap_vla_ros.evaluate.rollouts import observe, run_episode, wilson_interval
from sqap_vla_ros.observation import ActionChunk


class ExpertPolicy:
    """Answers with the scripted expert's action of the moment, one row at a time."""

    def __init__(self, env):
        from sqap_vla_ros.sim.expert import Expert
        self.config = SimpleNamespace(action_space=SimpleNamespace(execute_steps=1))
        self.expert, self.seen, self.resets = Expert(env), [], 0

    def reset(self):
        self.resets += 1

    def infer(self, observation):
        self.seen.append(observation)
        twist, gripper = self.expert.act()
        actions = np.append(twist, gripper).astype(np.float32)[None]
        return ActionChunk(actions, 0.05, (), observation.stamp, {'total': 2.0})


@pytest.fixture(scope='module')
def env():
    return libero_env()


@pytest.mark.parametrize('successes, trials', [(0, 10), (7, 10), (50, 50), (1, 3)])
def test_the_interval_is_wilsons(successes, trials):
    stats = pytest.importorskip('scipy.stats', reason='the oracle is SciPy')
    oracle = stats.binomtest(successes, trials).proportion_ci(0.95, method='wilson')
    assert wilson_interval(successes, trials) == pytest.approx(
        (oracle.low, oracle.high), abs=1e-4)


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_an_episode_ends_with_the_benchmarks_success(env):
    policy = ExpertPolicy(env)
    result = run_episode(env, policy, 3, env.instructions[0])
    assert result.success and env.success and 20 < result.steps < 120
    assert result.steps == len(policy.seen) and result.infer_ms == 2.0 and policy.resets == 1
    assert policy.seen[0].instruction == env.instructions[0]


def test_an_episode_is_given_up_after_max_steps(env):
    result = run_episode(env, ExpertPolicy(env), 3, env.instructions[0], max_steps=5)
    assert not result.success and result.steps == 5


def test_the_protected_point_is_where_the_gripper_is_seen(env):
    env.reset(0, env.instructions[0])
    protected = observe(env, 'x').protected
    assert protected.names == ('end_effector',)
    fingers = env.segment()
    rows, cols = np.nonzero(np.isin(fingers, env.geom_ids('gripper0_finger')))
    u, v = protected.pixels[0]
    assert abs(u - cols.mean()) < 12 and rows.min() - 12 < v < rows.max() + 12


def test_controls_change_only_what_they_name(env):
    env.reset(0, env.instructions[0])
    plain, blank, still = (observe(env, 'x', c) for c in ('none', 'blank-image', 'no-state'))
    assert not blank.image.any() and plain.image.any()
    np.testing.assert_array_equal(blank.state, plain.state)
    assert not still.state.any() and (still.image == plain.image).all()
    policy = ExpertPolicy(env)
    run_episode(env, policy, 3, env.instructions[0], 'other-instruction', max_steps=2)
    assert policy.seen[0].instruction == env.instructions[1]


def test_an_unknown_variant_is_refused():
    with pytest.raises(ConfigError, match='w2a2'):
        evaluate._names('fp,w2a2', evaluate.VARIANTS)


def test_the_summary_counts_by_instruction():
    results = [SimpleNamespace(success=s, steps=10, instruction=i, infer_ms=1.0)
               for s, i in ((True, 'a'), (False, 'a'), (True, 'b'))]
    row = evaluate._summary('fp', 'none', results)
    assert row['successes'] == 2 and row['by_instruction'] == {'a': [1, 2], 'b': [1, 1]}
    assert row['mean_steps'] == 10
