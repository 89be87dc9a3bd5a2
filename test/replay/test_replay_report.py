# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What stands in a report: the images that it chooses, its size, and nothing from outside."""
import base64
from dataclasses import replace
import hashlib
import json
import re

from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.replay.metrics.percentiles import percentiles
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.metrics.truths import held_against, measured_motion
from sqap_vla_ros.replay.playing import Playing, Steps
from sqap_vla_ros.replay.report.chosen import (
    APART_S, chosen_rows, drawn_rows, MOST_DRAWN, MOST_WORST)
from sqap_vla_ros.replay.report.embedded import without_gaps
from sqap_vla_ros.replay.report.pictures import encoded
from sqap_vla_ros.replay.report.write import MOST_PICTURES, write_report


def report_of(results, tmp_path, pictures=None) -> str:
    write_report(results, summarised(results), pictures, tmp_path / 'report.html')
    return (tmp_path / 'report.html').read_text()


def data_of(report: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', report, re.S)[1])


def choose(count, errors, most_shown=50):
    results = made_results(count)
    answers = results.answers[:len(errors)]
    return results, chosen_rows(results.images, answers, errors, most_shown)


def test_the_worst_images_are_apart_and_come_first_and_have_a_picture():
    error = np.zeros(2000)
    error[1000:1010] = np.arange(10) + 100.0  # neighbours: one mistake
    error[1500], error[17], error[1700] = 500.0, 50.0, np.nan
    results, chosen = choose(2000, [error])
    assert chosen.worst[0][:3] == (1500, 1009, 17) and len(chosen.worst[0]) == MOST_WORST
    stamps = np.sort(results.images.stamps_ns[list(chosen.worst[0])])
    assert np.diff(stamps).min() >= APART_S * 1e9
    assert set(chosen.worst[0]) <= set(chosen.shown.tolist()) <= set(chosen.drawn.tolist())
    assert {0, 1999, 5} <= set(chosen.shown.tolist())  # both ends, and the one with a problem


def test_a_long_recording_is_drawn_by_few_images_and_none_of_its_peaks_is_left_out():
    error = np.zeros(50_000)
    peaks = np.arange(37, 50_000, 211)
    error[peaks] = 1.0
    drawn = drawn_rows(50_000, [0.5 * error, error])
    assert set(peaks.tolist()) <= set(drawn.tolist())
    assert len(drawn) <= MOST_DRAWN and drawn[0] == 0 and (np.diff(drawn) <= 100).all()


def test_all_of_a_short_recording_is_drawn_and_shown_and_a_control_has_no_worst(tmp_path):
    results = made_results(controls=('none', 'blank-image'))
    data = data_of(report_of(results, tmp_path))
    assert data['count'] == 60 and data['shown'] == list(range(60))
    worst = {answer['title']: len(answer['worst']) for answer in data['answers']}
    assert worst['fp'] > 0 and worst['sqap@154'] > 0 and worst['fp, blank-image'] == 0


def test_pictures_are_asked_for_in_order_and_a_long_recording_makes_no_large_file(tmp_path):
    asked = []

    def pictures(rows):
        for row in rows:
            asked.append(row)
            yield {'front': np.random.default_rng(row).integers(
                0, 255, (64, 64, 3), np.uint8)}
    results = made_results(2000)
    report = report_of(results, tmp_path, pictures)
    assert asked == sorted(set(asked)) and 250 < len(asked) <= MOST_PICTURES
    assert len(report) < 5_000_000
    assert len([each for each in data_of(report)['pictures'] if each]) == len(asked)


@pytest.mark.parametrize('shape', [(3, 4000, 3), (4000, 3, 3), (1, 9000, 3)])
def test_a_narrow_picture_is_made_smaller_as_others_are(shape):
    shown, = encoded(lambda rows: [{'': np.zeros(shape, np.uint8)}], [0], 20)
    assert shown.size == shape[1::-1] and shown.uris[''].startswith('data:image/jpeg')


def test_detailed_pictures_are_made_smaller_until_all_fit_and_missing_ones_are_told():
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    found = encoded(lambda rows: ({'front': image, 'wrist': image} for _ in rows[:-1]),
                    range(30), most_bytes=1_000_000)
    sizes = [len(uri) for each in found for uri in each.uris.values()]
    assert 500_000 < sum(sizes) < 1_000_000 and max(sizes) < 4 * min(sizes)
    assert len(found) == 30 and found[-1] == ({}, None)
    assert list(found[0].uris) == ['front', 'wrist'] and found[0].size == (640, 480)


def test_it_forbids_itself_whatever_is_not_in_the_file(tmp_path):
    report = report_of(made_results(), tmp_path)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', report)[1]
    for tag in ('style', 'script'):
        text = re.search(f'<{tag}>(.*?)</{tag}>', report, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r'https?://(?!www\.w3\.org/2000/svg)', report)
    assert not re.search(r'<[^>]* (style|on\w+)=', re.sub(r'<script>.*?</script>', '', report,
                                                          flags=re.S))


def test_it_says_what_open_loop_is_worth_and_what_was_lost_refused_and_asked(tmp_path):
    results = replace(made_results(), losses=('12 of 72 messages of /camera: the file ends',))
    report = report_of(results, tmp_path)
    for text in ('Open loop does not predict success', 'Lost: 12 of 72 messages of /camera',
                 'would not move on 1 of 60 images: no transform', 'Against /delta_twist_cmds',
                 'put the bowl on the stove', 'Latency by stage', 'NRMSE'):
        assert text in report
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>', report)
    assert {'fp', 'sqap@154'} <= set(rows)


def test_it_says_what_the_arm_would_have_been_told_and_what_was_guessed(tmp_path):
    results = made_results(4)
    results = replace(results, facts={**results.facts, 'notes': ['/cam/color is taken as image']})
    none = percentiles(np.zeros(0))
    played = Playing('sqap@154', 640, 0.02, 0.25, 60, 31, 29, 3, (
        Steps('linear', 'm/s', percentiles(np.full(9, 0.0123)), none, none, none),),
        ((2.5, 'the answer is 1.4 s old'),))
    write_report(results, summarised(results), None, tmp_path / 'report.html', [played])
    report = (tmp_path / 'report.html').read_text()
    cells = re.findall(r'<td class="n">(.*?)</td>', report[report.index('have been told'):])
    assert cells[:8] == ['640', '25.0 %', '60', '29', '3', '0.0123 / 0.0123', '-',
                         '2.5 s: the answer is 1.4 s old']
    assert '<li>/cam/color is taken as image</li>' in report


def test_some_images_are_held_against_the_same_as_all_of_them():
    results = made_results()
    answer, rows = results.answers[1], np.array([0, 4, 5, 17, 59])
    every = (*held_against(results, answer), *measured_motion(results, answer))
    assert [held.facts.source for held in every] == ['/delta_twist_cmds', 'tf', 'tf']
    for held in every:
        for found in (held.said, held.truth, held.errors):
            np.testing.assert_array_equal(found(rows), found(slice(None))[rows])


def test_time_that_goes_back_and_gaps_between_episodes_do_not_stretch_the_axis():
    images = made_results(6).images
    stamps = images.stamps_ns.copy()
    stamps[3:] += 10**13
    stamps[5] -= 10**12
    images = replace(images, stamps_ns=stamps, episodes=np.array([0, 0, 0, 1, 1, 1], np.int32))
    np.testing.assert_allclose(without_gaps(images), [0, .05, .1, .35, .4, .65])


@pytest.mark.parametrize('results', [
    made_results(0), made_results(1), replace(made_results(), commands=()),
    replace(made_results(), answers=())], ids=['no image', 'one', 'no commands', 'no answers'])
def test_there_is_a_report_of_little(results, tmp_path):
    report = report_of(results, tmp_path)
    assert 'Open loop' in report and ('id="scrubber"' in report) == bool(
        results.answers and len(results.images))
    assert 'nan' not in re.sub(r'<script.*?</script>', '', report, flags=re.S)


def test_a_file_that_cannot_be_written_is_told_with_the_option(tmp_path):
    (tmp_path / 'report.html').mkdir()
    with pytest.raises(ConfigError, match='--out .*report.html'):
        report_of(made_results(1), tmp_path)
