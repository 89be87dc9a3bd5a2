# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Peak memory of `sqap-vla convert` at full size, on checkpoints that are made up on the spot.

    python benchmarks/convert_memory.py --folder /tmp/convert_big [--formats openvla cogact oft]

OpenVLA: 15 GB of bfloat16 in three shards; CogACT: one 30 GB .pt of float32; OpenVLA-OFT: the
shards and its heads, for LIBERO's two images.  Names and shapes are
those of the published models, values are repeated random numbers, written tensor by tensor.
Conversion, and loading with one inference, run in processes of their own whose memory is read
from /proc every 50 ms.  All files are removed afterwards.  --layers 2 tries it out on less.
"""
import argparse
import json
import math
import mmap
from pathlib import Path
import shutil
import subprocess
import sys
import time

import numpy as np
from PIL import Image
from sqap_vla_ros.formats.tensor_file import TensorFile
from sqap_vla_ros.formats.tensors import forget_pages
from sqap_vla_ros.support.machine import machine, versions
from sqap_vla_ros.support.memory import status_bytes
from sqap_vla_ros.support.progress import Progress
import torch

RESULTS = Path(__file__).resolve().parent / 'results' / 'convert_memory.json'
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'test' / 'golden'))
DIT_B = (12, 768)  # blocks and width of CogACT's action transformer
OFT_KEY, OFT_ACTIONS, OFT_STATE = 'libero_10_no_noops', 7, 8
STATE = '0.1,0,0.9,3.1,0,0,0.04,-0.04'  # as LIBERO's client tells it
GIB = 2 ** 30
BLOCK = torch.randn(2 ** 22, generator=torch.Generator().manual_seed(0))


def full_sizes(golden, layers):
    """Return the published models' sizes."""
    return golden.Sizes((1024, 24, 16, 4096), (1152, 27, 16, 4304), 4096, 11008, layers, 32, 32)


def fill(tensor, name):
    """Overwrite a tensor with repeated random numbers of a plausible spread."""
    flat = tensor.view(-1)
    is_scale = tensor.dim() == 1 and ('norm' in name or 'ls' in name)
    spread = 0.1 if is_scale else 1 / math.sqrt(math.prod(tensor.shape[1:]))
    for part in flat.split(len(BLOCK)):
        part.copy_(BLOCK[:len(part)] * spread + is_scale)


def write_openvla(folder, golden, sizes):
    """Write the shards, one tensor in memory at a time."""
    folder.mkdir(parents=True)
    shapes = golden.openvla_shapes(sizes)
    names, index = list(shapes), {}
    for number in range(3):
        part = names[number * len(names) // 3:(number + 1) * len(names) // 3]
        shard = f'model-{number + 1:05}-of-00003.safetensors'
        file = TensorFile(folder / shard,
                          {name: (torch.bfloat16, tuple(shapes[name])) for name in part})
        for name in part:
            tensor = torch.empty(shapes[name], dtype=torch.bfloat16)
            fill(tensor, name)
            file.write(name, tensor)
        file.close()
        index.update(dict.fromkeys(part, shard))
    golden.write_json(folder / 'model.safetensors.index.json', {'weight_map': index})
    golden.write_json(folder / 'config.json', golden.openvla_config(sizes))
    golden.write_tokenizer(folder)


def head_shapes(golden, token_size):
    """Return the names and shapes of CogACT's action transformer."""
    depth, width = DIT_B
    shapes = {'net.positional_embedding': [17, width], 'net.z_embedder.uncondition':
              [1, token_size]}
    rows = {'history_embedder.linear': (width, 7), 'x_embedder.linear': (width, 7),
            't_embedder.mlp.0': (width, 256), 't_embedder.mlp.2': (width, width),
            'z_embedder.linear': (width, token_size), 'final_layer.linear': (7, width)}
    for block in range(depth):
        rows.update({f'blocks.{block}.{name}': size for name, size in {
            'attn.qkv': (3 * width, width), 'attn.proj': (width, width),
            'mlp.fc1': (4 * width, width), 'mlp.fc2': (width, 4 * width)}.items()})
    for name, size in rows.items():
        shapes.update(golden.linear(f'net.{name}', *size))
    return shapes


def write_cogact(folder, golden, sizes):
    """Let torch.save lay out the .pt without its values, then fill them in through a mapping."""
    (folder / 'checkpoints').mkdir(parents=True)
    groups = {**golden.cogact_shapes(sizes), 'action_model': head_shapes(golden, sizes.hidden)}
    path = folder / 'checkpoints' / 'step-000-epoch-00-loss=0.0.pt'
    with torch.serialization.skip_data():  # torch.empty takes no memory until it is written to
        torch.save({'model': {group: {name: torch.empty(shape) for name, shape in shapes.items()}
                              for group, shapes in groups.items()}}, path)
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        content = torch.load(path, map_location='cpu', mmap=True, weights_only=True)
    for tensors in content['model'].values():
        for name, tensor in tensors.items():
            fill(tensor, name)
            forget_pages(tensor)
    golden.write_json(folder / 'config.json', {
        'action_dim': 7, 'action_model_type': 'DiT-B', 'future_action_window_size': 15,
        'past_action_window_size': 0, 'vla': {'base_vlm': 'prism-dinosiglip-224px+7b'},
        'tiny_model_kwargs': {'llm': {'num_hidden_layers': sizes.layers}}})
    golden.write_json(folder / 'dataset_statistics.json', golden.statistics('cogact'))


def oft_heads(golden, hidden):
    """Return the shapes and types of OpenVLA-OFT's two .pt files."""
    stacked = OFT_ACTIONS * hidden
    norms = {'layer_norm1': stacked, 'layer_norm2': hidden, **{
        f'mlp_resnet_blocks.{block}.ffn.0': hidden for block in (0, 1)}}
    shapes = {f'model.{name}.{part}': [size] for name, size in norms.items()
              for part in ('weight', 'bias')}
    for name, size in {'fc1': (hidden, stacked), 'mlp_resnet_blocks.0.ffn.1': (hidden, hidden),
                       'mlp_resnet_blocks.1.ffn.1': (hidden, hidden),
                       'fc2': (OFT_ACTIONS, hidden)}.items():
        shapes.update(golden.linear(f'model.{name}', *size))
    state = {**golden.linear('fc1', hidden, OFT_STATE), **golden.linear('fc2', hidden, hidden)}
    return {'action_head': (shapes, torch.bfloat16), 'proprio_projector': (state, torch.float32)}


def write_oft(folder, golden, sizes):
    """Write the shards of an OpenVLA, and the heads beside them."""
    write_openvla(folder, golden, sizes)
    for part, (shapes, dtype) in oft_heads(golden, sizes.hidden).items():
        tensors = {f'module.{name}': torch.empty(shape, dtype=dtype)
                   for name, shape in shapes.items()}
        for name, tensor in tensors.items():
            fill(tensor, name)
        torch.save(tensors, folder / f'{part}--150000_checkpoint.pt')
    bounds = {name: [sign] * OFT_STATE for name, sign in (
        ('q01', -4.0), ('q99', 4.0), ('min', -4.0), ('max', 4.0), ('mean', 0.0), ('std', 1.0))}
    actions = {name: [value / 4] * OFT_ACTIONS for name, (value, *_) in bounds.items()}
    actions['mask'] = [True] * (OFT_ACTIONS - 1) + [False]
    golden.write_json(folder / 'dataset_statistics.json', {
        OFT_KEY: {'action': actions, 'proprio': bounds}})


def measured(command, log):
    """Run a command, write its output to `log`, and return the process's peaks and the time."""
    start, peaks = time.monotonic(), {}
    with log.open('a') as file:
        file.write('$ sqap-vla ' + ' '.join(map(str, command)) + '\n')
        file.flush()
        child = subprocess.Popen(
            [sys.executable, '-m', 'sqap_vla_ros.cli', *map(str, command)],
            stdout=file, stderr=subprocess.STDOUT)
        with Progress(f'sqap-vla {command[0]}, which writes to {log}'):
            while child.poll() is None:
                for field in ('RssAnon', 'VmHWM'):
                    found = status_bytes(field, Path(f'/proc/{child.pid}/status'))
                    peaks[field] = max(peaks.get(field, 0), found)
                time.sleep(0.05)
        file.write('\n')
    if child.returncode:
        raise SystemExit(f'{" ".join(map(str, command))} failed, see {log}')
    return {'peak_gib': peaks['RssAnon'] / GIB, 'peak_with_mapped_files_gib': peaks['VmHWM'] / GIB,
            'seconds': time.monotonic() - start}


def size_gib(folder):
    """Return how much the files of a folder are."""
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / GIB


def calibration(folder, images):
    """Write a few random images with instructions, and with a state where there are several."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(32):
        names = [f'{number}_{camera}.png' for camera in range(images)]
        for name in names:
            Image.fromarray(rng.integers(0, 255, (256, 256, 3), np.uint8)).save(folder / name)
        line = {'image': names if images > 1 else names[0],
                'instruction': 'put the bowl on the stove'}
        lines.append({**line, 'state': [float(x) for x in STATE.split(',')]}
                     if images > 1 else line)
    (folder / 'instructions.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return ['--calibration', folder, '--held-out', '0']


WRITERS = {'openvla': write_openvla, 'cogact': write_cogact, 'oft': write_oft}


def one_format(name, args, golden, log):
    """Make a checkpoint of one format, convert it, load it, and remove it."""
    sizes = full_sizes(golden, args.layers)
    source, out, tokenizer = (args.folder / part for part in (name, f'{name}-out', 'tokenizer'))
    tokenizer.mkdir(parents=True)
    golden.write_tokenizer(tokenizer)
    with Progress(f'making a checkpoint of {name}'):
        WRITERS[name](source, golden, sizes)
    options = ['--precision', 'w4a4', '--threads', args.threads, '--tokenizer', tokenizer,
               '--unnorm-key', OFT_KEY if name == 'oft' else 'bridge_orig', *args.options]
    if args.gptq:
        options += calibration(args.folder / 'calibration', 2 if name == 'oft' else 1)
    result = {'options': ' '.join(map(str, args.options)), 'gptq': args.gptq,
              'layers': args.layers, 'original_gib': size_gib(source),
              'convert': measured(['convert', source, out, *options], log)}
    shutil.rmtree(source)
    result['converted_gib'] = size_gib(out)
    measured(['info', out], log)
    image = args.folder / 'image.png'
    Image.fromarray(np.full((256, 256, 3), 90, np.uint8)).save(image)
    seen = (['--image', f'full={image}', '--image', f'wrist={image}', f'--state={STATE}']
            if name == 'oft' else ['--image', image])
    result['load_and_infer'] = measured(
        ['infer', out, *seen, '--instruction', 'put the bowl on the stove',
         '--threads', args.threads], log)
    return result


def main():
    """Measure the formats that are asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add('--folder', type=Path, required=True, help='must not exist; on a disk with 40 GB free')
    add('--formats', nargs='+', choices=list(WRITERS), default=list(WRITERS))
    add('--layers', type=int, default=32)
    add('--threads', type=int, default=1)
    add('--gptq', action='store_true')
    add('--options', nargs=argparse.REMAINDER, default=[], help='of convert; must come last')
    add('--out', type=Path, default=RESULTS,
        help='results of other formats in it are kept; a log of each format beside it')
    args = parser.parse_args()
    import recipe as golden
    results = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for name in args.formats:
        log = args.out.with_name(f'{args.out.stem}_{name}.log')
        log.unlink(missing_ok=True)
        args.folder.mkdir(parents=True)
        try:
            found = one_format(name, args, golden, log)
        finally:
            shutil.rmtree(args.folder)
        results[name] = {**found, 'machine': machine(), 'versions': versions()}
        log.write_text(log.read_text().replace(f'{args.folder}/', '').replace('\r', '\n'))
        args.out.write_text(json.dumps(results, indent=1) + '\n')
        print(name, json.dumps(found, indent=1), flush=True)


if __name__ == '__main__':
    main()
