# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Instructions to token ids.

`Prompt` is for word-level policies and has one fixed length, so that such a model has one static
shape; `QuestionPrompt` is what OpenVLA and CogACT were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from ..errors import CheckpointError, ObservationError

PAD, UNKNOWN, BOS, ACT = '<pad>', '<unk>', '<bos>', '<act>'
QUESTION = 'In: What action should the robot take to {}?\nOut:'
# that of OpenVLA v0.1, whose decoder is a Vicuna, with this model's system prompt
VICUNA_QUESTION = (
    'A chat between a curious user and an artificial intelligence assistant. The assistant gives '
    "helpful, detailed, and polite answers to the user's questions. USER: What action should the "
    'robot take to {}? ASSISTANT:')
LLAMA_BOS, LLAMA_EOS, WORD_START = 1, 2, 29871
LLAMA_IDS = {'<s>': LLAMA_BOS, '</s>': LLAMA_EOS, '\u2581': WORD_START}
ENDINGS = {'openvla': (WORD_START,), 'openvla_v01': (WORD_START,),
           'cogact': (WORD_START, LLAMA_EOS), 'oft': (WORD_START, LLAMA_EOS)}


def check_known(instruction: str, known: Sequence[str]) -> None:
    """
    Raise ObservationError unless an instruction is one that a policy was trained on.

    known: all of these; empty for any.  Neither case nor blanks matter.  An empty instruction is
    left to the prompt.
    """
    plain = {_plain(text): text for text in known}
    if not known or _plain(instruction) in ('', *plain):
        return
    nearest = get_close_matches(_plain(instruction), plain, 1, 0.0)[0]
    raise ObservationError(
        f'the policy was not trained on the instruction {instruction!r}, the nearest is '
        f'{plain[nearest]!r}; it knows ' + '; '.join(known))


def _plain(text: str) -> str:
    return ' '.join(text.lower().split())


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


class QuestionPrompt:
    """
    Turn an instruction into the question that OpenVLA and CogACT answer, as Llama-2 ids.

    The last id's row of attention is the one that pruning reads.  OpenVLA-OFT's last id, the stop
    token, belongs behind its placeholders, see oft.py.
    """

    def __init__(self, tokenizer, ending: str, vocab_size: int, max_length: int = 1024):
        """
        Keep the tokenizer; ending: one of ENDINGS.

        Raises CheckpointError if the special tokens are not where Llama 2 has them, or if ids
        lie beyond the embedding.
        """
        self._tokenizer, self._ending, self._max_length = tokenizer, ENDINGS[ending], max_length
        self._is_appended_once = ending != 'cogact'
        self._question = VICUNA_QUESTION if ending == 'openvla_v01' else QUESTION
        found = {name: tokenizer.token_to_id(name) for name in LLAMA_IDS}
        if found != LLAMA_IDS:
            raise CheckpointError(
                f'tokenizer.json has the special ids {found}, the prompt needs {LLAMA_IDS}: use '
                "Llama 2's tokenizer")
        if max(tokenizer.get_vocab(with_added_tokens=False).values()) >= vocab_size:
            raise CheckpointError(f'tokenizer.json has ids beyond the {vocab_size} rows of the '
                                  'embedding: it belongs to another checkpoint')

    @property
    def bos_id(self) -> int:
        """Id of the token that starts every sequence."""
        return LLAMA_BOS

    def encode(self, instruction: str) -> list[int]:
        """
        Return the ids behind BOS; raise ObservationError for none or too many words.

        Blanks around the instruction stay, as in the official prompt.
        """
        text = instruction.lower()
        if not text.strip():
            raise ObservationError('the instruction is empty: publish one on `instruction`')
        ids = self._tokenizer.encode(self._question.format(text), add_special_tokens=False).ids
        if self._is_appended_once and ids[-1] == WORD_START:
            ids = ids[:-1]
        ids = ids + list(self._ending)
        if len(ids) >= self._max_length:
            raise ObservationError(f'the instruction has {len(ids)} tokens with its question, '
                                   f'the policy takes {self._max_length - 1}: shorten it')
        return ids


def make_prompt(kind: str, tokenizer, text_length: int, vocab_size: int):
    """Return the prompt of a checkpoint's kind; raise CheckpointError for an unknown one."""
    if kind == 'words':
        return Prompt(tokenizer, text_length)
    if kind in ENDINGS:
        return QuestionPrompt(tokenizer, kind, vocab_size)
    raise CheckpointError(f'prompt {kind!r} is unknown: known are words, {", ".join(ENDINGS)}')
