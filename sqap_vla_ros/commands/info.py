# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint of any format holds and needs: `sqap-vla info`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
import math

from .options import CHECKPOINT
from ..control.action_report import describe, si_ranges
from ..geometry.patches import patch_step
from ..observation import STATE_NAMES
from ..support.files import MIB
from ..support.progress import Progress
from ..support.resources import checkpoint_path

EXAMPLE_CAMERA = (640, 480)  # px
ASPECTS = {'letterbox': 'padded to a square', 'resize-crop': 'cut to its central square'}


def add_arguments(parser) -> None:
    """Add the options of `sqap-vla info`."""
    parser.add_argument('checkpoint', help=CHECKPOINT)
    parser.add_argument('--unnorm-key', metavar='KEY', help='show the action ranges of this one')


def run(args) -> int:
    """Print architecture, sizes by part, precision, actions, statistics and image geometry."""
    from ..formats import open_checkpoint
    with Progress('reading the headers'):
        source = open_checkpoint(checkpoint_path(args.checkpoint))
    if args.unnorm_key or source.config.unnorm_key or len(source.norm_stats) == 1:
        source = source.with_key(args.unnorm_key)
    for title, text in lines(source):
        print(f'{title:14} {text}'.rstrip())
    return 0


def lines(source) -> Iterator[tuple[str, str]]:
    """Yield (title, text) for everything that is known without reading the weights."""
    from ..formats.oft_constants import origin_notes
    config, model = source.config, source.config.model
    sizes = part_sizes(source)
    total = sum(size for _, size in sizes.values())
    yield source.family, f'{source.path}: {total / MIB:.1f} MiB of weights'
    yield from image_lines(config)
    yield from network_lines(model)
    for part, (count, size) in sizes.items():
        yield '', f'{part:12} {count / 1e6:9.2f} M values {size / MIB:10.2f} MiB'
    yield from precision_lines(source)
    yield from action_lines(source)
    yield from state_lines(source)
    tokenizer = source.tokenizer or 'none: name a directory with tokenizer.json by --tokenizer'
    yield 'tokenizer', str(tokenizer)
    yield 'instructions', '\n               '.join(config.instructions or ('any',))
    for note in (*origin_notes(config), *source.notes):
        yield 'note', note


def image_lines(config) -> Iterator[tuple[str, str]]:
    """Yield what happens to a camera image on its way into the network."""
    vision = config.model.vision
    rows, cols = vision.grid
    image = {'strategy': 'resize-naive', 'interpolation': 'bicubic', 'crop_area': 1.0,
             'rotate_180': False, 'mirror': False, 'client': '', 'first_size': None,
             **config.image}
    images = f'{config.model.images} x ' if config.model.images > 1 else ''
    yield 'images' if images else 'image', (
        f'{images}{vision.image_size} x {vision.image_size} px -> {images}{rows} x {cols} = '
        f'{config.model.num_visual} visual tokens')
    left = vision.image_size % cols
    if left:
        yield '', f'{left} px at the right and lower edge belong to no patch'
    yield '', (f'RGB of any size, {_resizing(image)}, centre crop of '
               f'{image["crop_area"]:g} of the area, '
               + ('turned by 180 degrees' if image['rotate_180'] else 'upright')
               + (', left and right exchanged' if image['mirror'] else ''))
    side = math.sqrt(image['crop_area'])
    width, height = EXAMPLE_CAMERA
    if image['strategy'] == 'resize-naive':
        share = patch_step((rows, cols), (vision.image_size,) * 2) * side / vision.image_size
        yield 'camera', (f'any aspect, squashed to a square; of {width} x {height} px a patch is '
                         f'{width * share[0]:.1f} x {height * share[1]:.1f} px')
    else:
        yield 'camera', f'any aspect, {ASPECTS[image["strategy"]]}'
    yield '', ('to protect what the robot covers: camera_info and the transform from base to the '
               "camera's optical frame")
    if config.cameras:
        yield '', (f'of the cameras {", ".join(config.cameras)}, in this order' if images else
                   f'of a robot with several cameras: {", ".join(config.cameras)}')


def _resizing(image: dict) -> str:
    """Return how an image comes to its size in front of the crop."""
    if not image['client']:
        return f'{image["strategy"]} ({image["interpolation"]})'
    first = 'bicubic to {1} x {0}, '.format(*image['first_size']) if image['first_size'] else ''
    return f"as {image['client']}'s client does: {first}a JPEG file, Lanczos"


def network_lines(model) -> Iterator[tuple[str, str]]:
    """Yield the architecture."""
    vision, llm, head = model.vision, model.llm, model.head
    encoders = ([('DINOv2', vision.dino), ('SigLIP', vision.siglip)]
                if hasattr(vision, 'dino') else
                [('ViT' if head.kind == 'chunk' else vision.family, vision)])
    yield 'vision', ' + '.join(
        f'{name} of {encoder.depth} blocks of width {encoder.width}, {encoder.heads} heads'
        for name, encoder in encoders)
    yield 'decoder', (
        f'{llm.num_layers} blocks of width {llm.hidden_size}, {llm.num_heads} heads, '
        f'{llm.num_kv_heads} for keys and values; pruning before block {model.prune_layer}')
    if model.film:
        yield '', 'FiLM: the words modulate every block of the vision encoders'
    yield 'head', {
        'chunk': lambda: f'{head.chunk_length} actions in parallel',
        'tokens': lambda: f'one action of {head.action_dim} decoded tokens, {head.bins} bins',
        'diffusion': lambda: (f'{head.chunk_length} actions by a diffusion transformer of '
                              f'{head.depth} blocks of width {head.width}, {head.heads} heads; '
                              f'DDIM {head.ddim_steps} steps, guidance {head.guidance:g}'),
        'oft': lambda: oft_text(head),
    }[head.kind]()
    if head.kind == 'oft':
        yield '', f'{model.attention} attention: every token sees every token'


def oft_text(head) -> str:
    """Return what OpenVLA-OFT's head is."""
    values = f'{head.chunk_length} actions of {head.action_dim} values in parallel'
    return {
        'regression': f'{values}, by {head.blocks} residual blocks of width {head.width} (L1)',
        'diffusion': (f'{values}, by {head.blocks} residual blocks of width {head.width}; the '
                      f'whole network in each of {head.ddim_steps} DDIM steps of '
                      f'{head.training_steps}'),
        'tokens': f'{values}, as tokens of {head.bins} bins'}[head.reads]


def precision_lines(source) -> Iterator[tuple[str, str]]:
    """Yield the precision, what was done for it, and what the weights take here."""
    from ..inference.device import find_device
    from ..loading.machines import auto_precision
    from ..loading.needs import memory_bytes
    from ..loading.units import empty_model
    from ..quant import storage_text, summary
    types = sorted({str(dtype).removeprefix('torch.') for dtype in source.tensors.dtypes.values()})
    record, made = source.config.quantization, source.config.conversion
    yield 'precision', f'{record.get("precision", "fp")} (on disk: {", ".join(types)})'
    if made:
        yield '', (f'converted from {made["name"]} ({made["family"]}), '
                   f'{made["float_type"]} where it is not quantized')
    if record:
        yield '', scheme_text(record) + _learnt_from(made.get('calibration'))
    shell = empty_model(source.config.model, record)
    yield '', storage_text(summary(shell, on_cpu=True))
    for device in dict.fromkeys(('cpu', find_device('auto').type)):
        choice = auto_precision(source.config.model, record, find_device(device))
        yield '', f'auto would choose {choice.precision} on {device}: {choice.reason}'
    yield 'vision dtype', vision_text(source)
    yield 'memory', (f'about {memory_bytes(shell) / MIB:.0f} MiB of weights in a process on this '
                     'CPU, in float32 where they are not quantized')


def vision_text(source) -> str:
    """Return what the encoder multiplies in on this CPU unless the options say otherwise."""
    from ..inference.device import find_device, find_dtype
    from ..loading.encoder_error import read_encoder_error
    from ..loading.vision_type import vision_type
    from ..options import PolicyOptions
    device = find_device('cpu')
    found = vision_type(PolicyOptions(), source.config.model, source.config.quantization, device,
                        find_dtype(None, device), partial(read_encoder_error, source))
    return f'auto would choose {found.name} on cpu: {found.reason}'


def _learnt_from(calibration: dict | None) -> str:
    """Return what GPTQ learnt from; '' for nothing."""
    if not calibration:
        return ''
    source = calibration.get('source', '')
    return (f' on {calibration["samples"]} samples of {calibration["name"]}'
            + f' ({source})' * bool(source))


def scheme_text(record: dict) -> str:
    """Return what a quantization record says of overrides, rotations and rounding."""
    rotation = record['rotation']
    parts = [f'{name} {precision}' for name, precision in record['overrides'].items()]
    parts.append('no rotations' if rotation is None else
                 f'{rotation["residual"]} rotation of the residual stream, seed '
                 f'{rotation["seed"]}')
    if record['qk_bits'] != 16:
        parts.append(f'Q and K at {record["qk_bits"]} bits')
    parts.append('GPTQ' if record['gptq'] else 'rounded to nearest')
    return ', '.join(parts)


def action_lines(source) -> Iterator[tuple[str, str]]:
    """Yield what the actions mean, and the statistics that give them their units."""
    config = source.config
    space, length = config.action_space, config.model.head.chunk_length
    if config.declares_actions:
        yield 'actions', f'chunk of {length}; {describe(space)}'
    else:
        yield 'actions', (f'chunk of {length}; to drive a robot, declare action_space in '
                          f'{space.file}')
    keys = sorted(source.norm_stats)
    if not config.unnorm_key:
        yield 'unnorm_key', f'choose one of {", ".join(keys)}'
        return
    yield 'unnorm_key', config.unnorm_key + (f' (of {", ".join(keys)})' if keys[1:] else '')
    stats = source.statistics()
    names = space.names if config.declares_actions else range(len(stats['low']))
    speeds = si_ranges(space, stats) if config.declares_actions else {}
    for name, low, high, mask in zip(names, stats['low'], stats['high'], stats['mask']):
        text = f'{low:8.4f} .. {high:.4f}' if mask else 'as the head gives it'
        if name in speeds:
            slow, fast, unit = speeds[name]
            text = f'{text:20} {slow:8.3f} .. {fast:.3f} {unit}'
        yield f'  {name}', text


def state_lines(source) -> Iterator[tuple[str, str]]:
    """Yield the values of the state that it takes, with the ranges that -1 .. 1 stand for."""
    config = source.config
    names = config.state_names or (STATE_NAMES if config.model.state_dim else ())
    if not names:
        return
    if not config.unnorm_key or config.model.head.kind != 'oft':
        yield 'state', f'{len(names)} values: {" ".join(names)}'
        return
    yield 'state', f'{len(names)} values, clipped to'
    stats = source.statistics()
    for name, low, high in zip(names, stats['state_low'], stats['state_high']):
        yield f'  {name}', f'{low:8.4f} .. {high:.4f}'


def part_sizes(source) -> dict[str, tuple[int, int]]:
    """
    Return {part: (values, bytes on disk)} by the first component of the tensors' names.

    Values are those of the network in full precision, however many share a byte.
    """
    from ..loading.units import empty_model
    plain = empty_model(source.config.model).state_dict()
    counts, sizes = Counter(), Counter()
    for name, tensor in plain.items():
        counts[name.split('.')[0]] += tensor.numel()
    for name in source.tensors.shapes:
        sizes[name.split('.')[0]] += source.tensors.stored_bytes(name)
    return {part: (counts[part], sizes[part]) for part in sorted(sizes)}
