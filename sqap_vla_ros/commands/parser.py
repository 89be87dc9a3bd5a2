# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A parser of command lines that names the nearest option or choice, and shows real defaults."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import re

from ..support.validation import nearest

_OPTION = re.compile(r'--?[A-Za-z][\w-]*')
_NEGATIVE = re.compile(r'-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$')
_NUMBER = r'[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)'
_NUMBERS = re.compile(rf'({_NUMBER})([,\s]+({_NUMBER}))*[,\s]*', re.IGNORECASE)
_BEGINS_NEGATIVE = re.compile(r'-[.\d]')  # as no option does
_NO_DEFAULT = (None, '', (), [], argparse.SUPPRESS)


def numbers(text: str) -> tuple[float, ...]:
    """
    Return the numbers of a text, with commas or spaces between them.

    As the type of an option it takes them as several words, too, and those below 0.  Between two
    commas there has to be one: a place that is left empty would move up all behind it.
    """
    if re.search(r'^\s*,|,\s*,', text):
        raise argparse.ArgumentTypeError(f'{text!r}: there is no number before a comma')
    words = text.replace(',', ' ').split()
    try:
        found = tuple(map(float, words))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r}: {error}') from error
    if not found:
        raise argparse.ArgumentTypeError('there is no number in it')
    return found


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to a help text where there is one to tell."""

    def _get_help_string(self, action):
        if action.default in _NO_DEFAULT or action.nargs == 0 or 'default' in action.help:
            return action.help
        text = super()._get_help_string(action)
        if isinstance(action.default, (tuple, list)):
            words = ' '.join(map(str, action.default)).replace('%', '%%')
            return text.replace('%(default)s', words)
        return text


class Parser(argparse.ArgumentParser):
    """Ends with status 2 and one line for what it does not understand."""

    def __init__(self, **arguments):
        """Take what an ArgumentParser takes."""
        super().__init__(**{'formatter_class': Formatter, **arguments})
        self._greedy = ''  # the last option given that takes any number of words
        self._negative_number_matcher = _NEGATIVE  # argparse takes -1e-3 for an option

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        """Parse; an unknown option is told before what it leaves missing."""
        self._greedy = ''
        args = None if args is None else self._with_numbers_joined(args)
        for word in args or ():
            if word == '--':
                break
            if self._is_greedy(word):
                self._greedy = word
            self._check_option(word.partition('=')[0])
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        """Print one line and end with status 2."""
        if self._greedy and message.startswith('the following arguments are required: '):
            message += f'; {self._greedy} takes all words behind it: give them before it'
        self.exit(2, f'{self.prog}: {message} (see {self.prog} --help)\n')

    def _with_numbers_joined(self, words: Sequence[str]) -> list[str]:
        """Return words in which an option of `numbers` is one with those that follow it."""
        joined, takes_more = [], False
        for index, word in enumerate(words):
            if word == '--':
                return [*joined, *words[index:]]
            if takes_more and (_NUMBERS.fullmatch(word) or _BEGINS_NEGATIVE.match(word)):
                joined[-1] += (' ' if '=' in joined[-1] else '=') + word
                continue
            joined.append(word)
            takes_more = self._takes_numbers(word.partition('=')[0])
        return joined

    def _takes_numbers(self, name: str) -> bool:
        known = self._option_string_actions
        found = [known[name]] if name in known else [
            action for option, action in known.items()
            if name.startswith('--') and option.startswith(name)]
        return bool(found) and all(action.type is numbers for action in found)

    def _is_greedy(self, word: str) -> bool:
        action = self._option_string_actions.get(word)
        return action is not None and action.nargs in ('+', '*')

    def _check_option(self, name: str) -> None:
        known = self._option_string_actions
        if not _OPTION.fullmatch(name) or any(option.startswith(name) for option in known):
            return
        self.error(f'there is no option {name}{nearest(name, known)}')

    def _check_value(self, action, value) -> None:
        if action.choices is not None and value not in action.choices:
            names = ', '.join(map(str, action.choices))
            raise argparse.ArgumentError(
                action, f'{value!r} is unknown{nearest(value, action.choices)}: one of {names}')
