# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
What the page's script draws from: numbers as base64 of little-endian arrays, texts once each.

The script (page/data.js) reads the same names. K: rows in curves, S: rows with a picture, T: rows
of an answer, D: columns of the arm and 'gripper' where there is one, P: patches of all images
that the policy takes; seen: the names of their cameras, where there are several.
"""

from __future__ import annotations

import base64
import json

import numpy as np

from .chosen import Chosen
from .curves import curves_of, Told
from .pictures import Shown
from ..results import Answers, Results
from ...geometry.image_transform import ImageTransform
from ...observation import REASONS
from ...tokens.overlay import COLORS, WHY

STAGES = {'observe': 'ingest', 'total': 'policy'}  # of latency, beside the errors
GAP_ROWS = 5  # that a gap between episodes takes in the curves


def page_data(results: Results, answers: list[Told], chosen: Chosen, pictures: list[Shown]) -> str:
    """
    Return JSON that may stand in a <script> element.

    answers: of all variants.  pictures: of each shown row.
    """
    images, texts = results.images, Texts()
    drawn = chosen.drawn
    data = {
        'count': len(images),
        'numbers': packed(images.numbers[drawn], '<i4'),
        'episodes': packed(images.episodes[drawn], '<i4'),
        'seconds': packed(seconds(images)[drawn]),
        'axis': packed(without_gaps(images)[drawn]),
        'problems': [texts.place(images.problems[row]) for row in drawn],
        'shown': np.searchsorted(drawn, chosen.shown).tolist(),
        'warnings': [texts.place('; '.join(images.warnings[row])) for row in chosen.shown],
        'asked': [texts.place(images.instructions[row]) for row in chosen.shown],
        'pixels': [_rounded(images.pixels[row]) for row in chosen.shown],
        'sizes': [each.size or _usual_size(results, pictures) for each in pictures],
        'box': list(results.facts.get('patch_box', (0, 0, 1, 1))),
        'seen': list(results.facts.get('policy_cameras', ())),
        'reversed': _reversed(results.facts.get('image_transform')),
        'pictures': [each.uris for each in pictures],
        'covered': _covered(results.answers, chosen.shown),
        'reasons': [{'name': name, 'why': WHY[code], 'color': f'rgb{COLORS[code]}'}
                    for code, name in enumerate(REASONS)],
        'answers': [_answer(results, one, chosen, place, texts)
                    for place, one in enumerate(answers)],
    }
    data['texts'] = texts.known
    return json.dumps(data, separators=(',', ':')).replace('<', '\\u003c')


def _usual_size(results, pictures) -> tuple[int, int]:
    """Return (width, height) for a row without a picture."""
    told = tuple(results.facts.get('image_size', (0, 0)))
    return next((each.size for each in pictures if each.size), told if all(told) else (4, 3))


def _reversed(transform) -> list[bool]:
    """Return whether rows and columns of patches come in reverse order."""
    return list(ImageTransform(**transform).reversed_axes) if transform else [False, False]


class Texts:
    """Texts that stand in the page once, however often they are said."""

    def __init__(self):
        self.known = ['']
        self._places = {'': 0}

    def place(self, text: str) -> int:
        """Return where it stands."""
        if text not in self._places:
            self._places[text] = len(self.known)
            self.known.append(text)
        return self._places[text]


def packed(values, kind: str = '<f4') -> str:
    """Return an array's bytes as base64."""
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def seconds(images) -> np.ndarray:
    """Return float64 [N]: of the stamps, from the first one."""
    return (images.stamps_ns - images.stamps_ns[:1]) / 1e9


def without_gaps(images) -> np.ndarray:
    """
    Return float64 [N] seconds that only grow.

    What lies between episodes, and time that goes back, counts as a few images.
    """
    if len(images) < 2:
        return np.zeros(len(images))
    steps = np.diff(images.stamps_ns) / 1e9
    forward = steps[(steps > 0) & (np.diff(images.episodes) == 0)]
    usual = float(np.median(forward)) if len(forward) else 1.0
    steps[np.diff(images.episodes) != 0] = GAP_ROWS * usual
    steps[steps < 0] = GAP_ROWS * usual
    return np.concatenate([[0], np.cumsum(steps)])


def _rounded(pixels) -> dict:
    return {name: [round(float(value), 1) for value in place] for name, place in pixels.items()
            if np.isfinite(place).all()}


def _covered(answers, shown) -> str:
    if not answers:
        return ''
    return packed(np.any([answer.covered[shown] for answer in answers], axis=0), 'u1')


def _answer(results, one: Told, chosen: Chosen, place: int, texts: Texts) -> dict:
    answer, drawn, shown = one.answers, chosen.drawn, chosen.shown
    line, rows = curves_of(results, one, drawn), curves_of(results, one, shown)
    prunes = bool((answer.reasons[shown] != 0).any())
    return {
        'title': answer.title, 'control': answer.control, 'rows': answer.actions.shape[1],
        'executed': answer.execute_steps, 'dt': answer.dt_s, 'grid': list(answer.grid),
        'total': answer.reasons.shape[1],
        'names': list(line.names), 'units': list(line.units),
        'truth': one.truth, 'truthIs': one.truth_is,
        'said': packed(line.said[:, 0].T), 'true': packed(line.truth[:, 0].T),
        'state': packed(line.state.T),
        'saidRows': packed(rows.said), 'trueRows': packed(rows.truth),
        'error': packed(one.error[drawn]), 'errorName': one.error_name,
        'errorUnit': one.error_unit,
        'latency': packed(_total(answer)[drawn]),
        'stages': {told: packed(answer.latency_ms[stage][shown])
                   for stage, told in STAGES.items() if stage in answer.latency_ms},
        'reasons': packed(answer.reasons[shown], 'u1') if prunes else '',
        'problems': [texts.place(answer.problems[row]) for row in shown],
        'worst': np.searchsorted(shown, chosen.worst[place]).tolist()}


def _total(answer: Answers) -> np.ndarray:
    return answer.latency_ms.get('total', np.full(len(answer.actions), np.nan))
