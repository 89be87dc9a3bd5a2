# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Fold rotations into a Llama-style decoder so that outliers spread over many channels.

In full precision the rotated model computes the same function (QuaRot's places, see Ashkboos
et al., arXiv 2404.00456):
- the scale of every RMSNorm goes into the layers that read it, so that the norm commutes with
  rotations;
- one random orthogonal Q rotates the residual stream: whatever writes to it writes x Q, and
  whatever reads it multiplies by Q^T first.  Q is a Hadamard matrix with random signs where
  the width is a power of two, and uniformly random elsewhere;
- a Hadamard on each head of V, undone in o_proj.
The online transforms in front of o_proj and down_proj belong to QuantLinear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import ConfigError
from ..numerics.hadamard import hadamard_transform, largest_power_of_two, Rotation, rotation_kind

_ROWS = 1024  # rows at a time in float64, which bounds the memory


@dataclass
class ResidualStream:
    """
    A decoder and everything that writes to or reads from its residual stream.

    layers: blocks with Hugging Face's Llama names.  norm: the final RMSNorm, with its owner
    and attribute name.  writers: nn.Embedding, nn.Linear (its outputs) or nn.Parameter
    [..., D] beside the blocks' own o_proj and down_proj.  readers: nn.Linear that read the
    normed final vector; None where something else reads it, which then gets it un-rotated.
    embedding_readers: nn.Linear that read embeddings, or their mean, without a norm.
    timed: whose `time` makes the tokens of time steps, None for a model without them.
    """

    layers: Sequence[nn.Module]
    owner: nn.Module
    norm_name: str
    head_dim: int
    writers: list = field(default_factory=list)
    readers: list[nn.Linear] | None = None
    embedding_readers: list[nn.Linear] = field(default_factory=list)
    timed: nn.Module | None = None

    @property
    def norm(self) -> nn.Module:
        """Return the final RMSNorm."""
        return getattr(self.owner, self.norm_name)

    @property
    def width(self) -> int:
        """Return the width D of the residual stream."""
        return self.norm.weight.shape[0]


class UnrotatedNorm(nn.Module):
    """The final norm, then back to the unrotated basis in one product."""

    def __init__(self, norm: nn.Module, matrix: torch.Tensor):
        """Take over a norm without scale; matrix [D, D] undoes Q and applies the scale."""
        super().__init__()
        self.norm = norm
        self.register_buffer('matrix', matrix)

    def forward(self, x):
        """Map the rotated x [..., D] to the plain model's normed vector."""
        return F.linear(self.norm(x), self.matrix)


class RotatedTime(nn.Module):
    """The tokens of time steps, by table instead of by formula."""

    def __init__(self, table: torch.Tensor):
        """Take the rotated tokens [steps, D]."""
        super().__init__()
        self.register_buffer('table', table)

    def forward(self, time: int, like):
        """Return the token [1, 1, D] of a time step; like: of its type."""
        return self.table[None, time:time + 1].to(like.dtype)


def rotated_time(time: nn.Module, q: Rotation, device) -> RotatedTime:
    """Return the tokens of a module that computes them, in the rotated basis."""
    like = torch.zeros((), device=device)
    tokens = torch.cat([time(step, like)[0] for step in range(time.steps)])
    return RotatedTime(q.apply(tokens).float())


def unrotated_norm(norm: nn.Module, q: Rotation) -> UnrotatedNorm:
    """Take a final norm's scale away and put it, with Q's inverse, behind the norm."""
    scale = norm.weight.data
    matrix = scale.double()[:, None] * q.apply(torch.eye(len(scale), device=scale.device))
    norm.weight.data = torch.ones_like(scale)
    return UnrotatedNorm(norm, matrix.to(scale.dtype))


def vla_stream(model) -> ResidualStream:
    """
    Describe our VLA (model/vla.py): raise ConfigError for a model without the parts.

    Writers are the embedding, the projector's last layer, the state token and what the head puts
    into the sequence; the reader is the head's first linear layer, if it reads one vector at a
    time.  The embeddings are read by FiLM's layers in the vision encoders, too.
    """
    try:
        llm, projector, head = model.llm, model.projector, model.head
    except AttributeError as error:
        raise ConfigError(f'{type(model).__name__} is no VLA: {error}') from error
    state, noisy = (getattr(owner, name, None) for owner, name in (
        (model, 'state_embed'), (head, 'noisy')))
    found = [state[-1] if isinstance(state, nn.Sequential) else state,
             getattr(head, 'queries', None), None if noisy is None else noisy[-1]]
    writers = [llm.embed_tokens, projector[-1],
               *(part for part in found if isinstance(part, (nn.Linear, nn.Parameter)))]
    return ResidualStream(llm.layers, llm, 'norm', llm.config.head_dim, writers, _readers(head),
                          _film_layers(model), head if hasattr(head, 'time') else None)


def _readers(head: nn.Module) -> list[nn.Linear] | None:
    """Return what reads the final vector; None for a head whose first layer is no linear one."""
    is_oft = getattr(getattr(head, 'config', None), 'kind', '') == 'oft'
    first = getattr(head, 'lm_head' if is_oft else 'fc1', None)
    return [first] if isinstance(first, nn.Linear) else None


def _film_layers(model: nn.Module) -> list[nn.Linear]:
    """Return the layers that modulate the vision encoders by the mean of the prompt."""
    return [getattr(block, name) for block in model.vision.modules() for name in ('scale', 'shift')
            if isinstance(getattr(block, name, None), nn.Linear)]


def _write(parameter: nn.Parameter, value: torch.Tensor) -> None:
    parameter.data.copy_(value.to(parameter.dtype))


def rotate_outputs(target, q: Rotation) -> None:
    """Make an embedding, a linear layer or a parameter [..., D] give x Q instead of x."""
    if isinstance(target, nn.Linear):
        for part in target.weight.data.split(_ROWS, dim=1):
            part.copy_(q.apply(part.t().contiguous()).t())
        if target.bias is not None:
            _write(target.bias, q.apply(target.bias.data))
        return
    parameter = target.weight if isinstance(target, nn.Embedding) else target
    for part in parameter.data.view(-1, parameter.shape[-1]).split(_ROWS):
        part.copy_(q.apply(part))


def rotate_inputs(linear: nn.Linear, q: Rotation) -> None:
    """Make a linear layer take x Q instead of x."""
    for part in linear.weight.data.split(_ROWS):
        part.copy_(q.apply(part))


def fold_norm(norm: nn.Module, readers: Sequence[nn.Linear]) -> None:
    """Move a norm's scale into the layers that read it."""
    scale = norm.weight.data.double()
    for linear in readers:
        for part in linear.weight.data.split(_ROWS):
            part.copy_(part.double() * scale)
    norm.weight.data.fill_(1.0)


def _rotate_values(attention: nn.Module, head_dim: int) -> None:
    """Fold a Hadamard a head into v_proj's outputs and o_proj's inputs."""
    value, block = attention.v_proj, largest_power_of_two(head_dim)
    columns = value.weight.data.double().t().contiguous()  # [D, G * head_dim]
    _write(value.weight, hadamard_transform(columns, block).t())
    if value.bias is not None:
        _write(value.bias, hadamard_transform(value.bias.data.double(), block))
    output = attention.o_proj
    _write(output.weight, hadamard_transform(output.weight.data.double(), block))


def _untie(stream: ResidualStream) -> None:
    """Give a reader that shares a writer's weight a copy of its own."""
    shared = {id(target.weight) for target in stream.writers
              if isinstance(target, (nn.Embedding, nn.Linear))}
    for linear in stream.readers or ():
        if id(linear.weight) in shared:
            linear.weight = nn.Parameter(linear.weight.data.clone(),
                                         requires_grad=linear.weight.requires_grad)


@torch.no_grad()
def rotate_model(stream: ResidualStream, seed: int = 0) -> dict:
    """
    Rotate a decoder in place, in float64, and return what was done for config.json.

    seed: of the residual rotation.  With stream.readers None the final norm becomes an
    UnrotatedNorm, and the readers see what they saw before.
    """
    q, record = Rotation(stream.width, seed), rotation_record(stream, seed)
    _untie(stream)
    for layer in stream.layers:
        rotate_block(layer, q, stream.head_dim)
    for target in stream.writers:
        rotate_outputs(target, q)
    for linear in stream.embedding_readers:
        rotate_inputs(linear, q)
    rotate_end(stream, q)
    return record


def rotation_record(stream: ResidualStream, seed: int) -> dict:
    """Return what config.json says of rotate_model's work."""
    return {'residual': rotation_kind(stream.width), 'seed': seed,
            'unrotated_final': stream.readers is None,
            'value_block': largest_power_of_two(stream.head_dim)}


@torch.no_grad()
def rotate_end(stream: ResidualStream, q: Rotation) -> None:
    """
    Rotate the tokens of time steps, and undo the rotation for what reads the final vector.

    Its readers, behind the norm, see what they saw before.
    """
    if stream.timed is not None:
        stream.timed.time = rotated_time(stream.timed.time, q, stream.norm.weight.device)
    if stream.readers is None:
        setattr(stream.owner, stream.norm_name, unrotated_norm(stream.norm, q))
        return
    fold_norm(stream.norm, stream.readers)
    for linear in stream.readers:
        rotate_inputs(linear, q)


@torch.no_grad()
def rotate_block(layer: nn.Module, q: Rotation, head_dim: int) -> None:
    """Fold norms, residual rotation and value Hadamard into one decoder block."""
    attention, mlp = layer.self_attn, layer.mlp
    from_attention_norm = (attention.q_proj, attention.k_proj, attention.v_proj)
    from_mlp_norm = (mlp.gate_proj, mlp.up_proj)
    fold_norm(layer.input_layernorm, from_attention_norm)
    fold_norm(layer.post_attention_layernorm, from_mlp_norm)
    for linear in (*from_attention_norm, *from_mlp_norm):
        rotate_inputs(linear, q)
    _rotate_values(attention, head_dim)
    for linear in (attention.o_proj, mlp.down_proj):
        rotate_outputs(linear, q)
