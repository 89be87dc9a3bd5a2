# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Directories and files that are nearly a checkpoint of ours, and the sentence that each gets.

scripts/near_misses prints them; docs/near_misses.md holds what it prints.
"""
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
import json
from pathlib import Path
import shutil

import golden_data
from safetensors.torch import load_file, save_file
from sqap_vla_ros.cli import main
import torch

POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4998001\n'
INDEX = 'model.safetensors.index.json'
SHARD = 'model-00001-of-00002.safetensors'


@dataclass(frozen=True)
class Miss:
    """
    One of them: what it is, and how it is made.

    make(folder) makes it there and returns the arguments of the command, its path first.
    """

    title: str
    make: Callable[[Path], list]
    command: str = 'info'


def folder(config=None, *names, content=b'{}'):
    """Return a maker of a directory with a config.json, if any, and files of that content."""
    def make(path):
        path.mkdir(exist_ok=True)
        if config is not None:
            (path / 'config.json').write_text(json.dumps(config))
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return [path]
    return make


def linked(source, path, *without):
    """Return a copy of a checkpoint whose larger files are links, without some of its files."""
    shutil.copytree(source, path, copy_function=_link, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns(*without))
    return path


def _link(source, target):
    if Path(source).stat().st_size < 2 ** 16:
        shutil.copy(source, target)
    else:
        Path(target).symlink_to(source)


def changed(change, *names, content=b'{}', file='config.json', head='openvla'):
    """Return a maker of a golden checkpoint with a changed JSON file, and more files."""
    def make(path):
        linked(getattr(golden_data, head)(), path)
        if change is not None:
            golden_data.edit(path / file, change)
        folder(None, *names, content=content)(path)
        return [path]
    return make


def with_key(make, key):
    """Return a maker whose unnorm key is told, too."""
    return lambda path: [*make(path), '--unnorm-key', key]


def without_weights(name, content):
    """Return a maker of an OpenVLA that has this file in place of its weights."""
    def make(path):
        linked(golden_data.openvla(), path, 'model*')
        return folder(None, name, content=content)(path)
    return make


def replaced(name, content, head='openvla'):
    """Return a maker of a golden checkpoint one of whose files is something else."""
    def make(path):
        linked(getattr(golden_data, head)(), path, name)
        (path / name).write_bytes(content)
        return [path]
    return make


def weights_of(path):
    """Return all tensors of an OpenVLA's shards."""
    return {name: tensor for shard in sorted(path.glob('model-*.safetensors'))
            for name, tensor in load_file(shard).items()}


def tensors(change, name='model.safetensors', save=save_file):
    """Return a maker of an OpenVLA whose tensors were changed and saved as one file."""
    def make(path):
        linked(golden_data.openvla(), path, 'model*')
        save(change(weights_of(golden_data.openvla())), path / name)
        return [path]
    return make


def parts_of_cogact():
    """Return the parts of the golden CogACT's .pt: {part: {name: tensor}}."""
    return torch.load(next(golden_data.cogact().glob('checkpoints/*.pt')),
                      weights_only=True)['model']


def parts(change, base=None, place='checkpoints/step-1.pt'):
    """Return a maker of a CogACT run whose .pt has changed parts; base: another base_vlm."""
    def make(path):
        linked(golden_data.cogact(), path, '*.pt')
        (path / place).parent.mkdir(exist_ok=True)
        torch.save({'model': change(parts_of_cogact())}, path / place)
        if base:
            golden_data.edit(path / 'config.json', lambda config: (
                config['vla'].update(base_vlm=base), config.pop('action_model_type')))
        return [path]
    return make


def lone(change):
    """Return a maker of a .pt file with nothing beside it."""
    def make(path):
        path.mkdir()
        torch.save({'model': change(parts_of_cogact())}, path / 'model.pt')
        return [path / 'model.pt']
    return make


def text(*words):
    """Return a maker that makes nothing and names something."""
    return lambda path: list(words)


def below(make, name):
    """Return a maker that names something in what another one makes."""
    def made(path):
        first, *rest = make(path)
        return [first / name, *rest]
    return made


def lacks_action_model(found):
    """Return parts as the native format of Prismatic has them."""
    return {name: part for name, part in found.items() if name != 'action_model'}


def wrapped(prefix):
    """Return what puts a prefix before every name."""
    return lambda found: {prefix + name: tensor for name, tensor in found.items()}


def _stats(config):
    return next(iter(config['norm_stats'].values()))['action']


def _flat(config):
    config['norm_stats'] = next(iter(config['norm_stats'].values()))


def _no_bounds(config):
    for name in ('q01', 'q99'):
        del config['norm_stats'][golden_data.KEY]['action'][name]


def _masked_nan(config):
    action = config['norm_stats'][golden_data.KEY]['action']
    for name in ('q01', 'q99'):
        action[name] = [*action[name][:-1], float('nan')]


def _stale(path):
    tensors(lambda found: found)(path)
    (path / INDEX).write_bytes((golden_data.openvla() / INDEX).read_bytes())
    return [path]


def _quantized(**value):
    return changed(lambda config: config.update(quantization_config=value))


def oft(change=None, variant='oft_tiny', says=None):
    """Return a maker of a golden OpenVLA-OFT; change(path) damages it, says: deployment.json."""
    def make(path):
        linked(golden_data.oft(variant), path)
        if says is not None:
            (path / 'deployment.json').write_text(json.dumps(says))
        if change is not None:
            change(path)
        return [path]
    return make


def _of_other_heads(path):
    state = torch.load(path / HEAD, weights_only=True)
    state['module.model.fc1.weight'] = torch.zeros(64, 5 * 64)
    (path / HEAD).unlink()
    torch.save(state, path / HEAD)


def _other_statistics(change):
    return lambda path: golden_data.edit(path / 'dataset_statistics.json', change)


def _of_six(stats):
    for entry in stats.values():
        entry['action'].update({name: [0.0] * 6 for name in ('q01', 'q99')})


def _renamed(stats):
    stats['my_robot'] = stats.pop(next(iter(stats)))
    stats['my_robot']['proprio'] = {name: values[:7] for name, values in
                                    stats['my_robot']['proprio'].items()}


def with_images(make, count):
    """Return a maker of an inference with so many images."""
    image = ['--image', str(golden_data.GOLDEN / 'case0.png')]
    return lambda path: [*make(path), *image * count, '--instruction', 'pick up the red block',
                         '--state', *['0.1'] * 8]


HEAD = 'action_head--150000_checkpoint.pt'
REFUSED = (
    Miss('SmolVLA of lerobot', folder({'type': 'smolvla', 'chunk_size': 50}, 'model.safetensors')),
    Miss('pi0 of lerobot', folder({'type': 'pi0', 'chunk_size': 50}, 'model.safetensors')),
    Miss('ACT of lerobot', folder({'type': 'act', 'chunk_size': 100}, 'model.safetensors')),
    Miss('a policy of lerobot from before it had types',
         folder({'input_shapes': {}, 'output_shapes': {}}, 'model.safetensors')),
    Miss('a training run of lerobot', folder(
        None, 'checkpoints/last/pretrained_model/config.json')),
    Miss('openpi, of JAX', folder(None, 'params/_METADATA', 'assets/droid/norm_stats.json')),
    Miss('openpi, of PyTorch', folder({'action_dim': 32, 'paligemma_variant': 'gemma_2b'},
                                      'model.safetensors')),
    Miss('openpi, the folder params/', folder(None, '_METADATA', 'manifest.ocdbt')),
    Miss('a data set of lerobot', folder(None, 'meta/info.json', 'data/chunk-000/x.parquet')),
    Miss('UniVLA', folder({'model_type': 'openvla'}, 'action_decoder.pt', INDEX)),
    Miss('GR00T N1.5', folder({'model_type': 'gr00t_n1_5'}, INDEX)),
    Miss('GR00T N1.7', folder({'architectures': ['Gr00tN1d7']}, INDEX)),
    Miss('Octo', folder({'model': {}, 'text_processor': {}, 'window_size': 2},
                        'example_batch.msgpack')),
    Miss('MiniVLA, native', folder({'vla': {
        'base_vlm': 'prism-qwen25-extra-dinosiglip-224px+0_5b'}})),
    Miss('MiniVLA, converted', changed(lambda config: config.update(
        llm_backbone_id='qwen25-0_5b-extra'))),
    Miss('native Prismatic, as openvla-7b-prismatic', parts(lacks_action_model)),
    Miss('native Prismatic, on SigLIP alone', parts(lacks_action_model, 'siglip-224px+7b')),
    Miss('native Prismatic, the .pt alone', lone(lacks_action_model)),
    Miss('a Prismatic VLM', folder({'model': {'vision_backbone_id': 'siglip-vit-so400m'}})),
    Miss('a CogACT whose frozen encoders were left out', parts(lambda found: {
        name: part for name, part in found.items() if name != 'vision_backbone'})),
    Miss('a CogACT .pt alone', lone(lambda found: found)),
    Miss('a CogACT .pt beside its config.json', parts(lambda found: found, place='model.pt')),
    Miss('a LoRA adapter alone', folder(None, 'adapter_config.json', content=json.dumps(
        {'base_model_name_or_path': 'openvla/openvla-7b', 'peft_type': 'LORA'}).encode())),
    Miss('a LoRA adapter within the weights', tensors(lambda found: {
        **found, 'language_model.model.layers.0.self_attn.q_proj.lora_A.default.weight':
        torch.zeros(2, 2)})),
    Miss('bitsandbytes', _quantized(quant_method='bitsandbytes', load_in_4bit=True)),
    Miss('AWQ', _quantized(quant_method='awq', bits=4)),
    Miss('GPTQ', _quantized(quant_method='gptq', bits=4, group_size=128)),
    Miss('GGUF', folder(None, 'openvla-7b-Q4_K_M.gguf')),
    Miss('pytorch_model.bin', without_weights('pytorch_model.bin', b'')),
    Miss('shards without their index', lambda path: [linked(golden_data.openvla(), path, INDEX)]),
    Miss('a git-lfs pointer in place of a shard', replaced(SHARD, POINTER)),
    Miss('a git-lfs pointer in place of config.json', replaced('config.json', POINTER)),
    Miss('a web page in place of a shard', replaced(SHARD, b'<!DOCTYPE html>\n<html>')),
    Miss('a Hugging Face name', text('openvla/openvla-7b')),
    Miss('a Hugging Face address', text('https://huggingface.co/openvla/openvla-7b/tree/main')),
    Miss('flat statistics', changed(_flat)),
    Miss('statistics without the wanted key', with_key(changed(None), 'bridge')),
    Miss('statistics without q01 and q99', with_key(changed(_no_bounds), golden_data.KEY)),
    Miss('an encoder of CLIP', changed(lambda config: config.update(
        use_fused_vision_backbone=False, timm_model_kwargs=None, image_sizes=[224],
        arch_specifier='no-align+gelu-mlp', timm_override_act_layers=['quick_gelu'],
        timm_model_ids=['vit_large_patch14_clip_224.openai']))),
    Miss('OpenVLA-OFT with two action heads', oft(lambda path: shutil.copy(
        path / HEAD, path / 'action_head--50000_checkpoint.pt'))),
    Miss('OpenVLA-OFT without its action head', oft(lambda path: (path / HEAD).unlink())),
    Miss('OpenVLA-OFT with the head of another one', oft(_of_other_heads)),
    Miss('OpenVLA-OFT with statistics of six values', oft(_other_statistics(_of_six))),
    Miss('OpenVLA-OFT without its statistics', oft(
        lambda path: (path / 'dataset_statistics.json').unlink())),
    Miss('OpenVLA-OFT with FiLM that deployment.json denies', oft(
        None, 'oft_tiny_aloha', {'oft': {'film': False}})),
    Miss('OpenVLA-OFT without the FiLM that deployment.json says', oft(
        None, says={'oft': {'film': True}})),
    Miss('OpenVLA-OFT of unknown data', oft(lambda path: (
        (path / 'proprio_projector--150000_checkpoint.pt').unlink(),
        _other_statistics(_renamed)(path)))),
    Miss('three images where two are taken', with_images(oft(), 3), 'infer'),
    Miss('one image where two are taken', with_images(oft(), 1), 'infer'),
    Miss('two images where one is taken', with_images(
        with_key(changed(None), golden_data.KEY), 2), 'infer'),
    Miss('a path that does not exist', lambda path: [f'{changed(None)(path)[0]}s']),
    Miss('a model that is not bundled', text('libero_gaol')),
    Miss('a file of a checkpoint', below(changed(None), SHARD)),
    Miss('a head of OpenVLA-OFT by itself', below(
        folder(None, 'action_head--150000_checkpoint.pt'), 'action_head--150000_checkpoint.pt')),
    Miss('the checkpoints/ of a run', below(changed(None, head='cogact'), 'checkpoints')),
    Miss('an empty directory', folder()))
TAKEN = (
    Miss('an older index beside a merged model.safetensors', _stale),
    Miss('`module.` before every name, of DDP', tensors(wrapped('module.'))),
    Miss('`_orig_mod.` before every name, of torch.compile', tensors(wrapped('_orig_mod.'))),
    Miss('NaN in the statistics where the mask is false', with_key(
        changed(_masked_nan), golden_data.KEY)))


def answer(miss: Miss, path: Path) -> tuple[int, str, str]:
    """Return the exit status of the command for one made at `path`, stdout and stderr."""
    said, told = StringIO(), StringIO()
    arguments = list(map(str, miss.make(path)))
    with redirect_stdout(said), redirect_stderr(told):
        status = main([miss.command, *arguments])
    return status, said.getvalue(), told.getvalue()


def sentence(told: str, path: Path) -> str:
    """Return what was told without the name of the command, with DIR for the path."""
    return told.strip().partition(': ')[2].replace(str(path), 'DIR')


def table(place: Path) -> str:
    """
    Return docs/near_misses.md's tables, from what `sqap-vla info` says of each.

    place: an empty directory to make them in.  The working directory has to be the repository.
    """
    refused = ['| what is named | what is said |\n|---|---|']
    taken = ['| what is there | |\n|---|---|']
    for number, miss in enumerate((*REFUSED, *TAKEN)):
        path = place / f'{number}'
        status, said, told = answer(miss, path)
        if status != (miss in REFUSED):
            raise AssertionError(f'{miss.title}: exit {status}, {told}')
        if status:
            refused.append(f'| {miss.title} | {plain(sentence(told, path))} |')
        else:
            notes = [line.split(maxsplit=1)[1] for line in said.splitlines()
                     if line.startswith('note') and 'not used, nor' in line]
            taken.append(f'| {miss.title} | {plain("; ".join(notes) or "nothing is said")} |')
    return '\n'.join((*refused, '', 'Taken as they are:', '', *taken, ''))


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    for mark in '\\|*<>_':
        text = text.replace(mark, f'\\{mark}')
    return text
