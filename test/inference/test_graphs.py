# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Inference on static buffers: the same answers as the network's steps, stage by stage."""
import threading

import golden_data
import numpy as np
import pytest
from sqap_vla_ros.errors import ObservationError
from sqap_vla_ros.inference import Runner
from sqap_vla_ros.inference.plan import Plan
from sqap_vla_ros.inference.staging import Staging
from sqap_vla_ros.policy import STAGES
from sqap_vla_ros.tokens.choice import select_tokens, SelectionConfig
from tiny_policies import HEADS, observation
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU = torch.device('cpu')
SELECTIONS = {
    'all': None, 'sqap': SelectionConfig(20), 'attention': SelectionConfig(20, method='attention'),
    'random': SelectionConfig(20, method='random'),
    'protected': SelectionConfig(20, preserve=False)}


def steps_one_by_one(policy, seen):
    """Return visual, x, scores, kept, hidden and raw as the network's own steps give them."""
    model, inputs, selection = policy.model, policy.inputs, policy.selection
    token_ids = inputs.token_ids(seen.instruction)
    visual = model.encode_image(inputs.pixels(*(view.image for view in policy._seen(seen))),
                                condition=model.condition(token_ids))
    x = model.embed(visual, token_ids, inputs.state(seen.state))
    caches, length, kept = model.make_caches(), x.shape[1], None
    after, scores = model.prefill_full(x, caches)
    if selection is not None:
        kept = torch.from_numpy(select_tokens(
            scores[0].numpy() if selection.needs_scores else None,
            policy._distance(*policy._seen(seen)), policy.grid, selection,
            images=model.config.images).kept)
    hidden = model.prefill_kept(after, kept, caches)
    raw = model.answer(hidden, length, caches, inputs.noise(None, 0))
    return {'visual': visual, 'x': after, 'scores': scores, 'kept': kept, 'hidden': hidden,
            'raw': raw}


def small_images(policy, seen):
    return np.stack([policy.inputs.image_transform.apply(view.image)
                     for view in policy._seen(seen)])


@pytest.mark.parametrize(('head', 'way'), [
    *((head, way) for head in HEADS for way in SELECTIONS), ('oft_tiny', 'all'),
    ('oft_tiny', 'sqap')])
@torch.inference_mode()
def test_every_stage_gives_what_the_networks_own_step_gives(load, head, way):
    policy, seen, selection = load(head), observation(head), SELECTIONS[way]
    policy.selection = selection
    expected = steps_one_by_one(policy, seen)
    inputs = policy.inputs
    token_ids = inputs.token_ids(seen.instruction)
    plan = Plan(policy.model, inputs.normalised, CPU, token_ids.shape[1], selection)
    plan.fill(small_images(policy, seen), token_ids, inputs.state(seen.state),
              inputs.noise(None, 0), policy._distance(*policy._seen(seen)))
    for stage in plan.stages.values():
        stage()
    for name, made in (('visual', plan.visual), ('x', plan._x), ('hidden', plan.hidden)):
        assert torch.equal(made, expected[name]), name
    found = plan.outputs.host
    assert torch.equal(found['raw'], expected['raw'])
    assert ('scores' in found) == bool(selection and selection.needs_scores)
    if 'scores' in found:
        assert torch.equal(found['scores'], expected['scores'][0])
    if selection is not None:
        assert torch.equal(found['kept'], expected['kept'])


@pytest.mark.parametrize('head', ['openvla', 'chunk', 'oft_tiny_diffusion'])
@torch.inference_mode()
def test_a_plan_never_asks_the_device_for_a_value(load, head):
    """
    On the meta device there are no values: whatever needs one on the host fails.

    The choice by scores may, where no kernel makes it: it stands between two graphs.  Nor does a
    stage bring anything from the host once it has run, which no graph can hold.
    """
    few = {'ddim_steps': 2} if head == 'oft_tiny_diffusion' else {}
    policy, seen = load(head, **few), observation(head)
    with torch.device('meta'):
        model = type(policy.model)(policy.config.model)
    token_ids = policy.inputs.token_ids(seen.instruction)
    selections = SelectionConfig(20), None, SelectionConfig(20, method='uniform')
    for selection in selections[:1] if few else selections:
        plan = Plan(model, policy.inputs.normalised, torch.device('meta'), token_ids.shape[1],
                    selection)
        plan.fill(small_images(policy, seen), token_ids, policy.inputs.state(seen.state),
                  policy.inputs.noise(None, 0))
        plan.inputs.upload()
        assert plan.on_host == ({'selection'} if plan.selection == SelectionConfig(20) else set())
        stages = [stage for name, stage in plan.stages.items() if name not in plan.on_host]
        for stage in stages:
            stage()
        plan.forget()
        with FromHost() as found:
            for stage in stages:
                stage()
        assert not found.calls and plan.outputs.device['raw'].is_meta


class FromHost(TorchDispatchMode):
    """Keeps the names of operations that read tensors of values in host memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == 'cpu' and tensor.dim() for tensor in tensors):
            self.calls.append(str(function))
        return function(*args, **(kwargs or {}))


def test_what_comes_from_the_host_is_noticed():
    with FromHost() as found:
        torch.zeros(3, device='meta').copy_(torch.ones(3))
        torch.zeros(3, device='meta') * 2.0
    assert found.calls == ['aten.copy_.default']


def test_stages_are_timed_where_that_is_asked_for(load):
    policy = load('chunk', keep=20)
    assert set(policy.infer(observation('chunk')).timings) == set(STAGES)
    policy.runner.by_stage = False
    timings = policy.infer(observation('chunk')).timings
    assert set(timings) == {'preprocess', 'network', 'total'}
    assert timings['total'] == pytest.approx(timings['preprocess'] + timings['network'])


def test_plans_are_kept_for_a_few_prompt_lengths_and_the_oldest_goes():
    policy = golden_data.load('openvla')
    policy.runner = Runner(policy.model, policy.inputs, CPU, torch.float32, plans=2)
    texts = ['go', 'go up', 'go up and down to the left']
    expected = {}
    for text in texts + texts[:1]:
        seen = golden_data.observation(0, instruction=text)
        actions = policy.infer(seen).actions
        np.testing.assert_array_equal(actions, expected.setdefault(text, actions))
        assert len(policy.runner._plans) <= 2
    lengths = [key[0] for key in policy.runner._plans]
    assert lengths == [policy.inputs.token_ids(text).shape[1] for text in (texts[2], texts[0])]


def test_a_policy_infers_on_another_thread_than_it_was_loaded_on(load):
    policy, found = load('chunk', keep=20), []
    expected = policy.infer(observation('chunk')).actions
    policy.reset()
    thread = threading.Thread(
        target=lambda: found.append(policy.infer(observation('chunk')).actions))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0], expected)


def test_broken_scores_that_are_read_back_are_an_error(load):
    """As they are found on a GPU, where nobody looks before the end."""
    policy = load('chunk')
    plan = Plan(policy.model, policy.inputs.normalised, CPU, 13, SelectionConfig(20))
    plan.check()
    plan.outputs.host['scores'][[1, 5, 7]] = torch.tensor([float('nan'), float('inf'), -torch.inf])
    with pytest.raises(ObservationError, match='3 of 64 attention scores are not finite'):
        plan.check()


def test_staging_puts_tensors_side_by_side_without_overlap():
    layout = {'flag': (torch.bool, (3,)), 'image': (torch.uint8, (2, 5, 3)),
              'ids': (torch.int64, (1, 7)), 'noise': (torch.float32, (2, 3))}
    staging = Staging(layout, CPU)
    for value, tensor in enumerate(staging.host.values(), 1):
        tensor.fill_(value)
    staging.upload()
    for value, (name, tensor) in enumerate(staging.device.items(), 1):
        assert (tensor.dtype, tuple(tensor.shape)) == layout[name]
        assert (tensor == value).all()
