# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Instructions to token ids of one fixed length, so that a model has one static shape."""

from __future__ import annotations

from ..errors import CheckpointError, ObservationError

PAD, UNKNOWN, BOS, ACT = '<pad>', '<unk>', '<bos>', '<act>'


def word_tokenizer(instructions):
    """
    Make a word-level `tokenizers.Tokenizer` for the words of the given instructions.

    Small policies trained on few tasks need no subwords; the file has the same format as any
    other tokenizer.json.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    words = sorted({word for text in instructions for word in text.lower().split()})
    vocabulary = {word: index for index, word in enumerate([PAD, UNKNOWN, BOS, ACT] + words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


class Prompt:
    """
    Turn an instruction into the ids [L]: its words, padding, and the action token last.

    The action token's row of attention is the one that pruning reads.
    """

    def __init__(self, tokenizer, length: int):
        """Keep the tokenizer; raise CheckpointError if it lacks the special tokens."""
        self._tokenizer, self._length = tokenizer, length
        self._ids = {name: tokenizer.token_to_id(name) for name in (PAD, UNKNOWN, BOS, ACT)}
        missing = [name for name, index in self._ids.items() if index is None]
        if missing:
            raise CheckpointError(f'tokenizer.json lacks the tokens {missing}')

    @property
    def bos_id(self) -> int:
        """Id of the token that starts every sequence."""
        return self._ids[BOS]

    def encode(self, instruction: str) -> list[int]:
        """
        Return `length` ids.

        Raises ObservationError for an empty instruction, one with words that the policy was
        not trained on, and one that is too long.
        """
        text = instruction.strip()
        if not text:
            raise ObservationError('the instruction is empty: publish one on `instruction`')
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        unknown = [word for word, index in zip(text.split(), encoded.ids)
                   if index == self._ids[UNKNOWN]]
        if unknown:
            raise ObservationError(
                f'the policy does not know the words {unknown} of the instruction {text!r}')
        room = self._length - 1
        if len(encoded.ids) > room:
            raise ObservationError(
                f'the instruction has {len(encoded.ids)} tokens, the policy takes {room}')
        padding = [self._ids[PAD]] * (room - len(encoded.ids))
        return encoded.ids + padding + [self._ids[ACT]]
