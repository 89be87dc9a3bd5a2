# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint in the true format, small and random, for tests that need a real policy."""


def save_tiny_checkpoint(directory, instructions=('put the bowl on the stove',), limit=0.2):
    """Write a random checkpoint whose actions stay within +-limit (m/s, rad/s)."""
    import torch  # only the tests that call this need it

    from sqap_vla_ros.formats import checkpoint
    from sqap_vla_ros.model.heads import ChunkHeadConfig
    from sqap_vla_ros.model.llama import LlamaConfig
    from sqap_vla_ros.model.prompt import word_tokenizer
    from sqap_vla_ros.model.vit import ViTConfig
    from sqap_vla_ros.model.vla import VLA, VLAConfig
    torch.manual_seed(0)
    tokenizer = word_tokenizer(instructions)
    model = VLAConfig(
        vision=ViTConfig(112, 14, 64, 2, 2, 128, 'conv'),
        llm=LlamaConfig(tokenizer.get_vocab_size(), 64, 128, 4, 4, 2),
        head=ChunkHeadConfig(8, 7), text_length=12, state_dim=8)
    config = checkpoint.CheckpointConfig(
        model=model, instructions=tuple(instructions), unnorm_key='test')
    stats = {'test': {
        'action': {'q01': [-limit] * 6 + [0.0], 'q99': [limit] * 6 + [1.0], 'mask': [True] * 7},
        'state': {'mean': [0.0] * 8, 'std': [1.0] * 8}}}
    checkpoint.save(directory, config, VLA(model).state_dict(), stats, tokenizer)
