# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Nothing is tuned or captured while a robot waits: what is done before, and when."""
import gc
import weakref

import golden_data
import numpy as np
from pretend_recorder import PretendRecorder
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.kernels.cuda import tuning
from sqap_vla_ros.tokens.choice import SelectionConfig


def captured_in(policy):
    """Let a policy capture, as on a GPU, in a recorder that is returned."""
    policy.runner.by_stage = False
    recorder = policy.runner._recorder = PretendRecorder()
    return recorder


def test_a_policy_that_was_made_ready_captures_nothing_while_it_infers():
    policy = golden_data.load('openvla', keep=30)
    recorder, seen = captured_in(policy), golden_data.observation(0, instruction='go')
    policy.make_ready('go', seen.image.shape[:2])
    assert recorder.captures == 2  # before and behind the choice of tokens
    expected = policy.infer(seen).actions
    policy.make_ready('go', seen.image.shape[:2])
    np.testing.assert_array_equal(policy.infer(seen).actions, expected)
    assert recorder.captures == 2
    policy.make_ready('go up and down to the left', seen.image.shape[:2])
    assert recorder.captures == 4
    policy.make_ready('go', (70, 90))  # images are resized in front of it
    assert recorder.captures == 4


def test_making_ready_forgets_nothing_and_refuses_what_infer_refuses():
    policy = golden_data.load('cogact', ensemble=4)
    captured_in(policy)
    seen = [golden_data.observation(case) for case in (0, 1)]
    expected = [policy.infer(one).actions for one in seen]
    policy.reset()
    first = policy.infer(seen[0]).actions
    policy.make_ready('go up and down to the left', (70, 90))
    np.testing.assert_array_equal([first, policy.infer(seen[1]).actions], expected)
    with pytest.raises(ObservationError, match='instruction is empty'):
        policy.make_ready('', (70, 90))


def test_each_prompt_has_bits_by_kind_for_its_own_length_in_any_order():
    """A text cannot be longer than what it was made for: nothing is made, and none is kept."""
    noise = golden_data.expected('cogact_case0')['noise']
    texts = 'go', 'go up and down to the left', 'go up'

    def load():
        return golden_data.load('cogact', precision='w4a4t8', keep=30)

    def act(policy, text):
        return policy.infer(golden_data.observation(0, instruction=text), noise).actions
    expected = {text: act(load(), text) for text in texts}
    policy = load()
    recorder = captured_in(policy)
    for text in (*texts, *texts[::-1], *texts):  # run, captured, replayed
        np.testing.assert_array_equal(act(policy, text), expected[text], err_msg=text)
    assert recorder.captures == 2 * len(texts)
    assert len({policy.inputs.token_ids(text).shape[1] for text in texts}) == len(texts)


def test_a_cpu_and_a_failed_capture_have_nothing_to_make_ready(load):
    policy = load('chunk')
    policy.make_ready('put the bowl on the stove', (90, 120))
    assert not policy.runner._plans
    policy.runner._recorder = PretendRecorder('a stage waits for the device')
    for _ in range(3):
        policy.make_ready('put the bowl on the stove', (90, 120))
    assert policy.runner.is_ready(13, None) and len(policy.runner.problems) == 1


def test_tuning_runs_a_prompt_of_every_kind_and_nothing_is_tuned_after_it(monkeypatch):
    policy, runs = golden_data.load('openvla', keep=30), []
    lengths, embed = policy.inputs.prompt_lengths('go'), policy.model.embed

    def noted(visual, token_ids, *rest):
        runs.append((token_ids.shape[1], tuning._mode() == 'settled'))
        return embed(visual, token_ids, *rest)
    monkeypatch.setattr(policy.model, 'embed', noted)
    policy.runner.tune(lengths, policy.selection)
    tuned = [tokens for tokens, is_settled in runs if not is_settled]
    assert len(tuned) == len(runs) < 6
    for visual in (policy.config.model.num_visual, 30):
        assert {tuning.bucket(visual + tokens) for tokens in tuned} == {
            tuning.bucket(visual + tokens) for tokens in lengths}
    policy.infer(golden_data.observation(0, instruction='go'))
    assert runs[-1][1] and not policy.runner._plans.get((lengths.stop, policy.selection))
    policy.selection = SelectionConfig(20)  # which nobody has tuned
    policy.infer(golden_data.observation(0, instruction='go'))
    assert not runs[-1][1]


def test_a_policy_that_is_dropped_is_gone_at_once(load):
    """Its weights and graphs are gigabytes: they must not wait for a garbage collection."""
    policy = load('chunk', precision='w4a4', keep=20)
    policy.warm_up()
    gone = [weakref.ref(part) for part in (
        policy.runner, policy.model, policy.model.llm.layers[0].self_attn.q_proj,
        *(entry[0] for entry in policy.runner._plans.values()))]
    gc.disable()
    try:
        del policy
        left = [ref() for ref in gone if ref() is not None]
    finally:
        gc.enable()
    assert len(gone) == 4 and not left


def test_usual_prompts_are_those_of_the_prompts_kind(load):
    one = load('chunk').inputs.prompt_lengths('put the bowl on the stove')
    assert len(one) == 1
    many = golden_data.load('openvla').inputs
    assert many.token_ids('go').shape[1] in many.prompt_lengths('go')
    assert many.prompt_lengths('go')[-1] >= 64
    long = 'go ' * 80
    assert many.token_ids(long).shape[1] in many.prompt_lengths(long)
