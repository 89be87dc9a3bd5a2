# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what an inference computes on its way, to compare it with another implementation.

    with StageRecorder(policy) as recorder:
        policy.infer(observation)
    numpy.savez('stages.npz', **recorder.stages())

The policy runs the same stages with and without it: the plan is watched behind each stage, and
hooks look into encoders, decoder blocks and heads.  They see nothing of CUDA graphs: on a GPU the
policy has to be loaded with capture=False.
"""

from __future__ import annotations

import numpy as np
import torch

from .outputs import unnormalise
from .plan import Plan
from ..model.diffusion import leading_times
from ..model.heads import TokenHeadConfig
from ..model.oft import OFTHeadConfig
from ..model.vit import FusedViTConfig

TIME = 'timestep_embedding'
_BATCHED = ('pixel_values', 'input_ids')


class StageRecorder:
    """
    Keeps the stages of one inference of a policy, as numpy arrays without a batch axis.

    The names are those of the OpenVLA, CogACT and OpenVLA-OFT goldens: pixel_values and input_ids
    (with a batch axis, but for OpenVLA-OFT's ids), dino_features and siglip_features (one of them
    of a single encoder, and patch_features of one of our own; of OpenVLA-OFT vision_features
    [images, N, E], both side by side), projected, hidden_states, and what the head computes.
    """

    def __init__(self, policy):
        """Take the policy to watch; nothing is recorded before `with`."""
        self._policy, self._model = policy, policy.model
        self._handles: list = []
        self._found: dict[str, torch.Tensor] = {}
        self._layers: list[torch.Tensor] = []  # of the first pass through the decoder
        self._last: list[torch.Tensor] = []  # and of the last
        self._steps: dict[str, list[torch.Tensor]] = {'x': [], 'noise_pred': [], TIME: []}
        self._is_oft = isinstance(self._model.config.head, OFTHeadConfig)

    def __enter__(self) -> StageRecorder:
        """Begin to watch."""
        model, vision = self._model, self._model.vision
        self._policy.runner.watch = self._on_stage
        if self._is_oft:
            self._watch_oft()
        elif isinstance(vision.config, FusedViTConfig):
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
        found.update(self._hidden_states(self._layers))
        return {**found, **(self._oft_stages(found) if self._is_oft else {}), **self._answer()}

    def _on_stage(self, stage: str, plan: Plan) -> None:
        if stage == 'vision':
            self._keep('pixel_values', plan.pixels)
            self._keep('input_ids', plan.inputs.device['token_ids'])
            self._keep('projected', plan.visual)
            if plan.condition is not None:
                self._keep('film_mean_language_embedding', plan.condition)
            if 'state' in plan.inputs.device and self._is_oft:
                self._keep('proprio_normalized', plan.inputs.device['state'])
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
        self._last = [inputs[0].detach().cpu().clone()]
        self._layers = self._layers or self._last

    def _on_layer(self, module, inputs, output) -> None:
        self._last.append(output[0].detach().cpu().clone())

    def _hidden_states(self, layers: list[torch.Tensor]) -> dict[str, np.ndarray]:
        """
        Return hidden_states [layers + 1, S, D] of a pass, the last one normed.

        With pruning it ends before the first pruned layer, and hidden_states_kept [...] holds
        the rest.
        """
        layers = [layer[0] for layer in layers]
        final = self._normed(layers[-1])
        full = [layer for layer in layers[:-1] if len(layer) == len(layers[0])]
        kept = layers[len(full):-1]
        if len(final) == len(layers[0]):
            return {'hidden_states': _array(torch.stack([*full, final]))}
        return {'hidden_states': _array(torch.stack(full)),
                'hidden_states_kept': _array(torch.stack([*kept, final]))}

    def _watch_oft(self) -> None:
        """Look at what only OpenVLA-OFT has."""
        model, head = self._model, self._model.head
        self._add(model.projector.register_forward_pre_hook(
            lambda _, inputs: self._keep('vision_features', inputs[0])))
        if model.state_embed is not None:
            self._keep_output(model.state_embed, 'proprio_embedding')
        if model.config.head.diffuses:
            for module, name in ((head.noisy, 'x'), (head, 'noise_pred'), (head.time, TIME)):
                self._add(module.register_forward_hook(
                    lambda module, inputs, output, name=name: self._steps[name].append(
                        (inputs[0] if name == 'x' else output).cpu().clone())))

    def _oft_stages(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what OpenVLA-OFT's goldens name otherwise, or hold besides."""
        config, hidden = self._model.config.head, self._found['hidden'][0]
        images = self._model.config.images
        rows = config.rows(self._layers[-1].shape[1])
        features = found['vision_features']
        stages = {
            'input_ids': self._oft_ids(config),
            'vision_features': features.reshape(images, -1, features.shape[-1]),
            'last_layer_prenorm': _array(self._layers[-1][0, rows.start:rows.stop]),
            'action_hidden_states': _array(hidden)}
        if config.diffuses:
            last = self._hidden_states(self._last)
            stages.update({f'{name}_first': found[name] for name in last})
            stages.update({f'{name}_last': array for name, array in last.items()})
            stages.update(self._denoising(config))
        return stages

    def _oft_ids(self, config: OFTHeadConfig) -> np.ndarray:
        """Return the ids [S'] of all that is not an image, a state or a time, 1 a placeholder."""
        ids = self._found['input_ids'][0]
        return torch.cat([ids[:-1], ids.new_ones(config.placeholders), ids[-1:]]).numpy()

    def _denoising(self, config: OFTHeadConfig) -> dict[str, np.ndarray]:
        """Return what went into each denoising step, and the noise that was found in it."""
        shape = (-1, config.chunk_length, config.action_dim)
        times = leading_times(config.training_steps, config.ddim_steps)
        steps = {name: _array(torch.cat(found).flatten(0, 1) if name == TIME
                              else torch.cat(found).reshape(shape))
                 for name, found in self._steps.items()}
        return {**steps, 'timesteps': np.array(times)}

    def _normed(self, x):
        """Return the decoder's final norm of x, in host memory."""
        llm = self._model.llm
        return llm.norm(x.to(llm.embed_tokens.weight.device)).cpu()

    def _answer(self) -> dict[str, np.ndarray]:
        """Return the head's output, normalised and in the checkpoint's units."""
        head, raw = self._model.head, self._found['raw']
        kind = self._model.config.head.kind
        normalised = head.normalised(raw)
        actions = unnormalise(normalised, self._policy.statistics)
        if kind == 'tokens':
            return {'generated_ids': raw[0].numpy(), 'normalized_actions': normalised[0],
                    'actions': actions[0]}
        found = {'normalized_actions': normalised, 'actions': actions}
        if self._is_oft and raw.dtype == torch.int64:
            found['discrete_ids'] = raw[0].numpy()
        if kind == 'diffusion':
            found.update(ddim_raw=_array(raw[0]),
                         cognition_feature=_array(self._found['hidden'][0, -1]))
        return found


def _array(tensor) -> np.ndarray:
    """Return a tensor as numpy, which has no bfloat16."""
    is_half = tensor.is_floating_point() and tensor.element_size() < 4
    return (tensor.float() if is_half else tensor).numpy()
