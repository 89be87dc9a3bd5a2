# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Quantize a VLA in place, and bring a packed one back without its float weights.

    record = quantize_model(model, 'w4a4')          # into config.json
    weights = packed_state(model)                   # into model.safetensors
    restore_quantized(VLA(config), record, weights)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import torch
from torch import nn

from .hadamard import hadamard_transform, is_power_of_two, largest_power_of_two
from .int4 import activation_scale, integer_range
from .linear import joinable, parse_precision, prepare_joint, QuantLinear
from .rotate import rotate_model, UnrotatedNorm, vla_stream
from ..errors import CheckpointError, ConfigError

BACKBONE = 'llm.layers.*'
TOGETHER = (('q_proj', 'k_proj', 'v_proj'), ('gate_proj', 'up_proj'))
_QK_BITS = (16, 8, 4)


class QKQuantizer(nn.Module):
    """Round Q or K after the rotary embedding, per token and head, in a rotated basis."""

    def __init__(self, bits: int, rotate: bool = True):
        """Take 4 or 8 bits; rotate puts a Hadamard on the head dimension first."""
        super().__init__()
        integer_range(bits)
        self.bits, self.rotate = bits, rotate

    def forward(self, x):
        """Return x [B, H, S, d] with the values that `bits` leave of it, still rotated."""
        if self.rotate:
            x = hadamard_transform(x)
        scale = activation_scale(x, self.bits)
        return (x / scale).round_().mul_(scale).to(x.dtype)


def _precision_of(name: str, precision: str, overrides: Mapping[str, str]) -> str:
    """Return a layer's precision: the first override whose pattern fits, else the default."""
    for pattern, wanted in overrides.items():
        if fnmatchcase(name, pattern):
            return wanted
    return precision if fnmatchcase(name, BACKBONE) else 'fp'


def _online_hadamard(name: str, linear: nn.Linear, head_dim: int, rotate: bool):
    """Return (block, stride) of the transform that a layer applies to its input."""
    if not rotate or not fnmatchcase(name, BACKBONE):
        return 1, 1
    if name.endswith('.down_proj'):
        return largest_power_of_two(linear.in_features), 1
    heads = linear.in_features // head_dim
    if name.endswith('.o_proj') and is_power_of_two(heads):
        return heads, head_dim  # together with v_proj's own: a Hadamard over the whole width
    return 1, 1


def _selected(model: nn.Module, record: dict) -> Iterator[tuple[str, nn.Linear, dict]]:
    """Yield name, layer and QuantLinear options of all that the record quantizes."""
    head_dim = model.llm.config.head_dim
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        precision = _precision_of(name, record['precision'], record['overrides'])
        if precision == 'fp':
            continue
        block, stride = _online_hadamard(name, module, head_dim, record['rotation'] is not None)
        yield name, module, {
            'precision': precision, 'hadamard_block': block, 'hadamard_stride': stride,
            'per_token': record['per_token']}


def _check(model: nn.Module, record: dict) -> None:
    """Raise ConfigError for unknown precisions, idle overrides or unsupported qk_bits."""
    for wanted in (record['precision'], *record['overrides'].values()):
        parse_precision(wanted)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for pattern in record['overrides']:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f'override {pattern!r} fits none of the linear layers, such as '
                              f'{names[:3]}')
    if record['qk_bits'] not in _QK_BITS:
        raise ConfigError(f'qk_bits {record["qk_bits"]} is not one of {_QK_BITS}')
    quantized = [name for name, module in model.named_modules()
                 if isinstance(module, (QuantLinear, UnrotatedNorm))]
    if quantized:
        raise ConfigError(f'the model is quantized or rotated already ({quantized[0]}): '
                          'start from the full-precision weights')


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, attribute = name.rpartition('.')
    setattr(model.get_submodule(owner), attribute, module)


def _attach_qk(model: nn.Module, record: dict) -> None:
    """Put the quantizer of Q and K in place; 16 bits leave them alone."""
    if record['qk_bits'] == 16:
        return
    for layer in model.llm.layers:
        layer.self_attn.qk_transform = QKQuantizer(
            record['qk_bits'], record['rotation'] is not None)


@torch.no_grad()
def quantize_model(model: nn.Module, precision: str, rotate: bool = True,
                   overrides: Mapping[str, str] | None = None, seed: int = 0,
                   qk_bits: int = 16, per_token: bool = True) -> dict:
    """
    Quantize a full-precision VLA in place and return the record for config.json.

    precision: of the language backbone's linear layers.  rotate: fold rotations in first and
    use online Hadamards (with 'fp' it only rotates).  overrides: {pattern of layer names:
    precision}; the first that fits wins, and it may name layers outside the backbone, such
    as {'*.down_proj': 'w8a8', 'vision.*': 'w8a8'}.  qk_bits: 16, 8 or 4 bits for rotated Q
    and K.  per_token: activation scales a token, or one for the whole tensor.

    Raises ConfigError for unknown options and layers that cannot be quantized.
    """
    record = {'precision': precision, 'overrides': dict(overrides or {}), 'rotation': None,
              'qk_bits': qk_bits, 'per_token': per_token}
    _check(model, record)
    if rotate:
        record['rotation'] = rotate_model(vla_stream(model), seed)
    for name, linear, options in _selected(model, record):
        try:
            _replace(model, name, QuantLinear.from_linear(linear, **options))
        except ConfigError as error:
            raise ConfigError(f'{name}: {error}') from error
    _attach_qk(model, record)
    model.requires_grad_(False)  # integers have no gradient
    return record


def packed_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """
    Return the tensors to save, by name: packed integers and scales where quantized.

    Raises ConfigError if packed weights were released.
    """
    for name, module in model.named_modules():
        if isinstance(module, QuantLinear):
            if module.weight is None:
                raise ConfigError(f'{name}: its packed weights were released, load them again')
    return {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}


def restore_quantized(model: nn.Module, record: dict,
                      weights: Mapping[str, torch.Tensor]) -> None:
    """
    Give a new full-precision model (on any device, also 'meta') a quantized one's weights.

    record: what quantize_model returned.  Floats become float32 except on 'meta', where all
    tensors are taken over as they are.  Raises CheckpointError if names or shapes do not fit
    and ConfigError for a damaged record.
    """
    missing = {'precision', 'overrides', 'rotation', 'qk_bits', 'per_token'} - record.keys()
    if missing:
        raise ConfigError(f'the quantization record lacks {sorted(missing)}')
    _check(model, record)
    if record['rotation'] and record['rotation']['unrotated_final']:
        width = model.llm.norm.weight.shape[0]
        model.llm.norm = UnrotatedNorm(model.llm.norm, torch.zeros(width, width))
    for name, linear, options in _selected(model, record):
        with torch.device(linear.weight.device):
            layer = QuantLinear(linear.in_features, linear.out_features,
                                bias=linear.bias is not None, **options)
        _replace(model, name, layer)
    _attach_qk(model, record)
    _load(model, weights)


def _load(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    own = model.state_dict()
    wrong = sorted(own.keys() ^ weights.keys()) or [
        f'{name} {tuple(weights[name].shape)}/{weights[name].dtype} (expected '
        f'{tuple(own[name].shape)}/{own[name].dtype})' for name in own
        if weights[name].shape != own[name].shape
        or weights[name].is_floating_point() != own[name].is_floating_point()]
    if wrong:
        raise CheckpointError(
            f'the weights do not fit their quantization record: {wrong[:3]}: convert again')
    on_meta = any(tensor.is_meta for tensor in own.values())
    model.load_state_dict(weights, assign=on_meta)
    model.requires_grad_(False)


def prepare_kernels(model: nn.Module, rows: int = 256, max_bits: int | None = None,
                    backend: str | None = None, release: bool = False) -> None:
    """
    Choose all kernels now instead of at the first call; see QuantLinear.prepare.

    Layers that the decoder runs together (q/k/v, gate/up) get one joint kernel.
    """
    options, done = (rows, max_bits, backend, release), set()
    for parent in model.modules():
        for names in TOGETHER:
            layers = [getattr(parent, name, None) for name in names]
            if joinable(layers):
                prepare_joint(layers, *options)
                done.update(layers)
    for module in model.modules():
        if isinstance(module, QuantLinear) and module not in done:
            module.prepare(*options)


def summary(model: nn.Module) -> dict:
    """
    Return counts and sizes of the quantized layers.

    Keys: layers, weights, packed_bytes (with scales), bits_on_disk a weight, backends (name to
    number of layers), bits_in_memory (the most that a chosen backend holds, None before).
    """
    layers = [module for module in model.modules() if isinstance(module, QuantLinear)]
    weights = sum(layer.spec.in_features * layer.spec.out_features for layer in layers)
    packed = sum(layer.spec.in_features * layer.spec.out_features * layer.spec.weight_bits // 8
                 + 4 * layer.spec.out_features for layer in layers)
    kernels = [layer.kernel for layer in layers if layer.kernel is not None]
    backends = dict(Counter(kernel.name for kernel in kernels))
    return {'layers': len(layers), 'weights': weights, 'packed_bytes': packed,
            'bits_on_disk': 8 * packed / weights if weights else 0.0, 'backends': backends,
            'bits_in_memory': max((kernel.bits_in_memory for kernel in kernels), default=None)}
