# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what an inference computes on its way, to compare it with another implementation.

    with StageRecorder(policy) as recorder:
        policy.infer(observation)
    numpy.savez('stages.npz', **recorder.stages())

The policy runs the same stages with and without it: the plan is watched behind each stage, and
hooks look into encoders and decoder blocks.  They see nothing of CUDA graphs: on a GPU the policy
has to be loaded with capture=False.
"""

from __future__ import annotations

import numpy as np
import torch

from .outputs import unnormalise
from .plan import Plan
from ..model.heads import TokenHeadConfig
from ..model.vit import FusedViTConfig

_BATCHED = ('pixel_values', 'input_ids')


class StageRecorder:
    """
    Keeps the stages of one inference of a policy, as numpy arrays without a batch axis.

    The names are those of the OpenVLA and CogACT goldens: pixel_values and input_ids (with a
    batch axis), dino_features and siglip_features (one of them of a single encoder, and
    patch_features of one of our own), projected, hidden_states, and what the head computes.
    """

    def __init__(self, policy):
        """Take the policy to watch; nothing is recorded before `with`."""
        self._policy, self._model = policy, policy.model
        self._handles: list = []
        self._found: dict[str, torch.Tensor] = {}
        self._layers: list[torch.Tensor] = []

    def __enter__(self) -> StageRecorder:
        """Begin to watch."""
        model, vision = self._model, self._model.vision
        self._policy.runner.watch = self._on_stage
        if isinstance(vision.config, FusedViTConfig):
            self._keep_output(vision.dino, 'dino_features')
            self._keep_output(vision.siglip, 'siglip_features')
        else:
            is_ours = self._policy.config.prompt == 'words'
            name = 'patch' if is_ours else 'dino' if vision.config.class_token else 'siglip'
            self._keep_output(vision, f'{name}_features')
        if isinstance(model.config.head, TokenHeadConfig):
            self._keep_output(model.head, 'logits_last')
        self._add(model.llm.layers[0].register_forward_pre_hook(self._on_embeddings))
        for layer in model.llm.layers:
            self._add(layer.register_forward_hook(self._on_layer))
        return self

    def __exit__(self, *exception) -> None:
        """Watch no longer."""
        self._policy.runner.watch = None
        while self._handles:
            self._handles.pop().remove()

    @torch.inference_mode()
    def stages(self) -> dict[str, np.ndarray]:
        """Return what was recorded, by name; call it after the `with` block."""
        found = {name: _array(tensor if name in _BATCHED else tensor[0])
                 for name, tensor in self._found.items() if name not in ('raw', 'hidden')}
        return {**found, **self._hidden_states(), **self._answer()}

    def _on_stage(self, stage: str, plan: Plan) -> None:
        if stage == 'vision':
            self._keep('pixel_values', plan.pixels)
            self._keep('input_ids', plan.inputs.device['token_ids'])
            self._keep('projected', plan.visual)
        elif stage == 'head':
            self._keep('raw', plan.outputs.device['raw'])
            self._keep('hidden', plan.hidden)

    def _add(self, handle) -> None:
        self._handles.append(handle)

    def _keep_output(self, module, name: str) -> None:
        self._add(module.register_forward_hook(
            lambda _, inputs, output: self._keep(name, output)))

    def _keep(self, name: str, tensor) -> None:
        self._found.setdefault(name, tensor.detach().cpu().clone())  # the first call counts

    def _on_embeddings(self, module, inputs) -> None:
        if not self._layers:
            self._layers.append(inputs[0].detach().cpu().clone())

    def _on_layer(self, module, inputs, output) -> None:
        if len(self._layers) <= len(self._model.llm.layers):
            self._layers.append(output[0].detach().cpu().clone())

    def _hidden_states(self) -> dict[str, np.ndarray]:
        """
        Return hidden_states [layers + 1, S, D], the last one normed.

        With pruning it ends before the first pruned layer, and hidden_states_kept [...] holds
        the rest.
        """
        layers = [layer[0] for layer in self._layers]
        final = self._normed(layers[-1])
        full = [layer for layer in layers[:-1] if len(layer) == len(layers[0])]
        kept = layers[len(full):-1]
        if len(final) == len(layers[0]):
            return {'hidden_states': _array(torch.stack([*full, final]))}
        return {'hidden_states': _array(torch.stack(full)),
                'hidden_states_kept': _array(torch.stack([*kept, final]))}

    def _normed(self, x):
        """Return the decoder's final norm of x, in host memory."""
        llm = self._model.llm
        return llm.norm(x.to(llm.embed_tokens.weight.device)).cpu()

    def _answer(self) -> dict[str, np.ndarray]:
        """Return the head's output, normalised and in the checkpoint's units."""
        head, raw = self._model.head, self._found['raw']
        normalised = head.normalised(raw)
        actions = unnormalise(normalised, self._policy.statistics)
        if head.config.kind == 'tokens':
            return {'generated_ids': raw[0].numpy(), 'normalized_actions': normalised[0],
                    'actions': actions[0]}
        found = {'normalized_actions': normalised, 'actions': actions}
        if head.config.kind == 'diffusion':
            found.update(ddim_raw=_array(raw[0]),
                         cognition_feature=_array(self._found['hidden'][0, -1]))
        return found


def _array(tensor) -> np.ndarray:
    """Return a tensor as numpy, which has no bfloat16."""
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
