# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""A replay of a policy that takes two cameras: tokens of each in numbers, pictures and files."""
from contextlib import closing
from dataclasses import replace
import json
import re

from browser import Browser, browser_path
from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.observation import SAMPLED
from sqap_vla_ros.recordings.open import open_recording
from sqap_vla_ros.replay.export.side_by_side import MCAP, write_mcap
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.metrics.table import table_text
from sqap_vla_ros.replay.report.write import write_report
from sqap_vla_ros.replay.results import DROPPED

COUNT, WRIST = 20, 100  # tokens that are kept of the wrist's image


@pytest.fixture(scope='module')
def results():
    """Return results whose pruned rows keep 154 of one image and the last 100 of another."""
    made = made_results(COUNT)
    wrist = np.where(np.arange(256) < 256 - WRIST, DROPPED, SAMPLED).astype(np.uint8)
    answers = []
    for each in made.answers:
        more = np.tile(wrist if each.name != 'fp' else 0 * wrist, (COUNT, 1))
        covered = np.zeros((COUNT, 256), bool)
        covered[:, 150:158] = True  # of which the wrist's image keeps two
        answers.append(replace(each, reasons=np.hstack([each.reasons, more]),
                               covered=np.hstack([each.covered, covered])))
    return replace(made, answers=tuple(answers),
                   facts={**made.facts, 'policy_cameras': ['front', 'wrist']})


def pictures(rows):
    """Yield light pictures, another camera between those that the policy takes."""
    for _ in rows:
        yield {'front': np.full((224, 224, 3), 200, np.uint8),
               'side': np.full((48, 64, 3), 90, np.uint8),
               'wrist': np.full((112, 112, 3), 240, np.uint8)}


def test_tokens_are_counted_over_both_images_and_told_for_each(results):
    summary = summarised(results)
    found = summary.rows[1].tokens
    assert (found.total, found.kept, found.by_view) == (512, 254.0, (154.0, 100.0))
    assert summary.rows[0].tokens.by_view == (256.0, 256.0)
    assert found.recall == pytest.approx(np.mean([
        (covered.sum() + 2) / (covered.sum() + 8)
        for covered in results.answers[1].covered[np.arange(COUNT) != 5, :256]]))
    line = next(line for line in table_text(summary).splitlines()
                if line.startswith('sqap@154') and '(154 + 100)' in line)
    assert re.search(r'254 \(154 \+ 100\) +512 ', line)


def test_a_policy_of_one_image_is_told_as_before():
    text = table_text(summarised(made_results(COUNT)))
    assert re.search(r'^sqap@154 +154 +256 ', text, re.M)


def test_the_exported_file_has_the_tokens_of_each_camera(results, tmp_path):
    assert write_mcap(results, tmp_path, (), pictures) == MCAP
    found = {}
    with closing(open_recording(tmp_path / MCAP)) as recording:
        for message in recording.messages([topic.name for topic in recording.topics]):
            found.setdefault(message.topic, []).append(message.read())
    for below, kept in (('', 154), ('wrist/', WRIST)):
        messages = found[f'/replay/sqap_154/{below}token_selection']
        assert len(messages) == COUNT - 1 and {len(each.kept) for each in messages} == {kept}
        assert len(found[f'/replay/sqap_154/{below}overlay/compressed']) == COUNT - 1
        assert len(found[f'/replay/{below}image/compressed']) == COUNT
    wrist = found['/replay/sqap_154/wrist/token_selection'][0]
    assert wrist.kept.tolist() == list(range(156, 256)) and (wrist.rows, wrist.cols) == (16, 16)
    assert not any('side' in topic for topic in found)


def test_the_report_says_which_images_the_patches_are_of(results, tmp_path):
    write_report(results, summarised(results), pictures, tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert data['seen'] == ['front', 'wrist']
    assert [answer['total'] for answer in data['answers']] == [512, 512]
    assert '254 (154 + 100) of 512' in text


@pytest.mark.skipif(browser_path() is None,
                    reason='no browser: chromium or google-chrome is not installed')
def test_the_page_darkens_what_each_camera_lost(results, tmp_path):
    write_report(results, summarised(results), pictures, tmp_path / 'report.html')
    tab = Browser(tmp_path)
    try:
        tab.show(tmp_path / 'report.html')
        brightness = tab.run(
            'new Promise(done => {const look = () => {'
            'const one = document.querySelector("#others canvas"); if (!one) '
            'return setTimeout(look, 5); const pen = one.getContext("2d"), side = one.width;'
            'const at = (u, v) => pen.getImageData(u * side, v * side, 1, 1).data[0];'
            'done([at(.02, .01), at(.98, .99)])}; look()})')
        assert brightness[0] < 110 < 200 < brightness[1]  # dropped above, kept below
        shown = tab.run('[...document.querySelectorAll("#others figure")].map(figure => '
                        'figure.firstChild.tagName + figure.innerText.trim())')
        assert shown == ['IMGside', 'CANVASwrist']
        assert '258 of 512' in tab.run('document.getElementById("legend").innerText')
    finally:
        tab.close()
