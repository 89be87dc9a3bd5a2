# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""`sqap-vla error` on tiny policies of all heads."""
import json
import shutil

from browser import Browser, browser_path
import golden_data
import golden_oft
import numpy as np
import pytest
from sqap_vla_ros.action_error import curve, memory, run, seen_once
from sqap_vla_ros.cli import main
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.samples.reading import read_samples
import torch
from training_data import save_checkpoint_and_data

TEXT = 'put the bowl on the stove'
FRAMES = 16


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Return (a checkpoint of 64 tokens, shards of 10 episodes)."""
    return save_checkpoint_and_data(tmp_path_factory.mktemp('tiny'), TEXT)


@pytest.fixture(scope='module')
def learnt():
    """Return a list of the precisions that a curve's conversions had."""
    return []


@pytest.fixture(scope='module')
def out(tiny, learnt, tmp_path_factory):
    """Return the directory of a run."""
    out, plain = tmp_path_factory.mktemp('run') / 'error', curve.convert
    checkpoint, data = tiny
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, 'convert', lambda task, path: (
            learnt.append(task.scheme.precision), plain(task, path)))
        assert main([
            'error', str(checkpoint), '--samples', str(data), '--frames', str(FRAMES),
            '--variants', 'w4a4,w8a8,prune,random-prune', '--keep', '40,10', '--out',
            str(out), '--calibrate', '2,4', '--calibration', str(data)]) == 0
    return out


@pytest.fixture(scope='module')
def found(out):
    return json.loads((out / 'error.json').read_text())


def by_name(found, control='none'):
    return {row['name']: row for row in found['table'] if row['control'] == control}


def answers(checkpoint, data, keep=None, **options):
    """Return what one policy alone answers, float [n, T, A]."""
    policy = load_policy(checkpoint, keep=keep, **options)
    samples = read_samples(data, FRAMES, policy.config)
    return np.array([policy.infer(sample.observation()).actions for sample in samples.samples])


@pytest.mark.parametrize('name, options', [
    ('w8a8', {'precision': 'w8a8'}), ('prune@10', {'keep': 10}),
    ('random-prune@40', {'keep': 40, 'selection_method': 'random'})])
def test_an_error_is_the_distance_of_two_policies_asked_one_by_one(tiny, found, name, options):
    apart = np.abs(answers(*tiny, **options) - answers(*tiny))[:, :4]
    row = by_name(found)[name]
    assert [axis['real']['mean'] for axis in row['axes']] == pytest.approx(
        apart.mean((0, 1)).tolist(), abs=2e-6)
    each = (apart * ([5.0] * 6 + [2.0])).mean((1, 2))
    assert row['error']['mean'] == pytest.approx(each.mean(), abs=2e-6)
    assert found['by_frame'][name] == pytest.approx(each.tolist(), abs=2e-6)
    assert row['largest'] == pytest.approx(each.max(), abs=2e-6)
    assert row['worst'][0] == each.argmax()


def test_controls_show_what_nothing_and_everything_is(found):
    assert [row['error']['mean'] for row in by_name(found, 'repeat').values()] == [0.0, 0.0]
    assert set(by_name(found, 'repeat')) == {'fp', 'w4a4'}
    blank = by_name(found, 'blank-image')['fp']['error']['mean']
    assert blank > 0 and any(f'data: with black images in place of these full precision answers '
                             f'the same but for {blank:.4f}' in text
                             for text in found['warnings'])
    assert not any('asked twice' in text for text in found['warnings'])


def test_rows_stand_in_the_order_that_was_asked_for_and_are_compared_with_the_first(found):
    rows = [row for row in found['table'] if row['control'] == 'none']
    assert [row['name'] for row in rows] == [
        'w4a4', 'w8a8', 'prune@40', 'prune@10', 'random-prune@40', 'random-prune@10']
    assert rows[0]['more'] is None
    first, second = (found['by_frame'][row['name']] for row in rows[:2])
    assert rows[1]['more']['mean'] == pytest.approx(np.mean(second) - np.mean(first), abs=3e-6)
    assert rows[1]['error']['mean'] < rows[0]['error']['mean']


def test_another_policy_is_told_that_its_prediction_is_a_guess(found, out):
    assert not found['prediction']['is_own']
    assert 'guess: how much' in ' '.join(found['prediction']['words'])
    assert 'class="seen ' not in (out / 'report.html').read_text()  # no episodes of its own
    assert by_name(found)['w4a4']['predicted']['low'] is not None


def test_the_curve_begins_at_rounding_to_nearest(found, learnt):
    assert learnt == ['w4a8', 'w4a8']  # as convert does, for whatever precision is shown
    curve = {(row['name'], row['frames']): row['error']['mean'] for row in found['curve']}
    assert curve['w4a4', 0] == by_name(found)['w4a4']['error']['mean']
    assert {frames for _, frames in curve} == {0, 2, 4}
    assert curve['w4a4', 4] != curve['w4a4', 0]


def test_a_frame_is_looked_at_once_until_memory_is_full(monkeypatch):
    monkeypatch.setattr(seen_once, 'MOST_BYTES', 8)
    known, made = seen_once.Remembered(), []

    def make():
        made.append(known.frame)
        return torch.full((2,), float(known.frame))
    for known.frame in (0, 0, 1, 1):
        assert known.of(make).tolist() == [known.frame] * 2
    assert made == [0, 1, 1]


@pytest.mark.skipif(browser_path() is None, reason='no browser is installed')
def test_the_report_is_whole_in_a_browser_and_fits_a_phone(out, tmp_path):
    tab = Browser(tmp_path)
    try:
        tab.show(out / 'report.html', width=390, height=800)
        assert tab.run('[document.documentElement.scrollWidth, '
                       'document.querySelectorAll("svg.plot.phone").length, '
                       'getComputedStyle(document.querySelector("svg.plot.screen")).display, '
                       'document.querySelectorAll(".worst img").length]') == [390, 3, 'none', 6]
        assert not tab.problems() and len(tab.requests()) == 1
    finally:
        tab.close()


@pytest.mark.parametrize('changed, message', [
    (['--variants', 'w4a5'], 'w4a5'), (['--variants', ''], 'empty'),
    (['--keep', '65'], '1..64'), (['--keep', 'many'], 'whole numbers'),
    (['--frames', '0'], 'at least 1'), (['--calibrate', '4'], 'both or neither'),
    (['--quantized', 'ORIGINAL'], 'no quantized weights'),
    (['--episodes', '0'], '--episodes says how a bag'),
    (['--samples', 'EMPTY'], 'holds neither'), (['--out', 'HERE'], 'exists and holds'),
    (['--calibrate', '0', '--calibration', 'x'], 'at least 1'),
    (['--calibrate', '2', '--calibration', 'EMPTY'], '--calibration'),
    (['--calibrate', '2', '--calibration', 'x', '--int8', 'vision'], 'and --calibrate: weights'),
    (['--quantized', 'ORIGINAL', '--int8', 'vision'], 'vision and --quantized: weights')])
def test_bad_input_is_one_line_before_anything_is_asked(tiny, tmp_path, capsys, changed, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'here').mkdir()
    (tmp_path / 'here' / 'kept.txt').write_text('mine')
    names = {'ORIGINAL': tiny[0], 'EMPTY': tmp_path / 'empty', 'HERE': tmp_path / 'here'}
    changed = [str(names.get(word, word)) for word in changed]
    assert main(['error', str(tiny[0]), '--samples', str(tiny[1]), *changed]) == 1
    told = capsys.readouterr()
    errors = told.err.strip()
    assert 'action error' not in told.out
    assert message in errors and len(errors.splitlines()) == 1
    assert [path.name for path in (tmp_path / 'here').iterdir()] == ['kept.txt']


def test_what_does_not_fit_into_memory_is_told_before_anything_is_read(tiny, monkeypatch, capsys):
    monkeypatch.setattr(memory, 'available_bytes', lambda: 1 << 20)
    assert main(['error', str(tiny[0]), '--samples', 'none', '--variants', 'prune']) == 1
    assert 'the weights of fp take about ' in capsys.readouterr().err


def test_a_converted_checkpoint_holds_no_full_precision(tiny, tmp_path, capsys, monkeypatch):
    def no_curve(measured):
        raise ConfigError('the disk is full')
    monkeypatch.setattr(curve, 'measured_curve', no_curve)
    assert main(['convert', str(tiny[0]), str(tmp_path / 'w4a8'), '--precision', 'w4a8',
                 '--calibration', str(tiny[1]), '--samples', '2', '--held-out', '0']) == 0
    assert main(['error', str(tmp_path / 'w4a8'), '--samples', str(tiny[1])]) == 1
    assert '--quantized' in capsys.readouterr().err
    assert main(['error', str(tiny[0]), '--samples', str(tiny[1]), '--frames', '4', '--variants',
                 'w4a8,w8a8', '--quantized', str(tmp_path / 'w4a8'), '--out',
                 str(tmp_path / 'out')]) == 1
    assert len(by_name(json.loads((tmp_path / 'out/error.json').read_text()))) == 2
    told = capsys.readouterr().out
    assert 'no intervals' in told and 'too few episodes' in told
    assert "w4a8 was rounded by 2 frames of 'data', and errors are measured on 'data'" in told
    assert main(['error', str(tiny[0]), '--samples', 'none', '--variants', 'w8a8,prune',
                 '--quantized', str(tmp_path / 'w4a8')]) == 1
    assert 'no variant takes its weights' in capsys.readouterr().err


def test_an_interrupted_run_leaves_nothing(tiny, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(run.Asked, 'answers', interrupted)
    assert main(['error', str(tiny[0]), '--samples', str(tiny[1]), '--out',
                 str(tmp_path / 'out')]) == 130
    assert not (tmp_path / 'out').exists()


def listed(folder, images, instruction, count=3, state=None):
    """Write images with instructions.jsonl."""
    import cv2
    lines = []
    for number in range(count):
        names = []
        for place, image in enumerate(images):
            names.append(f'{number}_{place}.png')
            cv2.imwrite(str(folder / names[-1]), np.roll(image, 8 * number, 1)[..., ::-1])
        lines.append(json.dumps({'image': names if len(names) > 1 else names[0], 'state': state,
                                 'instruction': instruction}))
    (folder / 'instructions.jsonl').write_text('\n'.join(lines))
    return folder


def test_a_state_that_it_was_not_trained_on_and_an_unknown_camera_are_told(tiny, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    other = shutil.copytree(tiny[0], tmp_path / 'other')
    golden_data.edit(other / 'norm_stats.json',
                     lambda stats: stats['test']['state'].update(std=[0.1] + [1.0] * 7))
    listed(tmp_path, [image], TEXT, state=[0.9, 0, 0, 0, 0, 0, 1, 0.5])
    assert main(['error', str(other), '--samples', str(tmp_path), '--variants', 'prune',
                 '--keep', '20']) == 0
    told = capsys.readouterr().out
    assert 'x in 100% of them (0.9 .. 0.9' in told
    assert '3 of 3 (100 %) of the frames tell of no camera and pose' in told


@pytest.mark.parametrize('head', ['openvla', 'cogact', 'oft_tiny'])
def test_public_checkpoints_are_measured_with_the_same_noise_for_all(head, tmp_path, capsys):
    if head.startswith('oft'):
        policy = golden_oft.load(head)
        seen = golden_oft.observation(head, 1)
        views = seen.views_of(policy.cameras) if len(policy.cameras) > 1 else [seen]
        images, state = [view.image for view in views], seen.state.tolist()
        path, extra = golden_oft.directory(head), []
    else:
        images, state = [golden_data.image(0)], None
        path, extra = getattr(golden_data, head)(), ['--unnorm-key', golden_data.KEY]
        extra += ['--tokenizer', str(golden_data.openvla())] if head == 'cogact' else []
    listed(tmp_path, images, TEXT, state=state)
    assert main(['error', str(path), '--samples', str(tmp_path), '--variants', 'w4a4,prune',
                 '--keep', '10', '--out', str(tmp_path / 'out'), *extra]) == 0
    found = json.loads((tmp_path / 'out' / 'error.json').read_text())
    assert 'vision_dtype' not in found
    assert [row['error']['mean'] for row in by_name(found, 'repeat').values()] == [0.0, 0.0]
    assert by_name(found)['w4a4']['error']['mean'] > 0
    assert (tmp_path / 'out' / 'report.html').read_text().count('<img') >= len(images)


def test_rounded_encoders_are_told(tiny, tmp_path):
    checkpoint, data = tiny
    assert main(['error', str(checkpoint), '--samples', str(data), '--frames', '2', '--variants',
                 'fp-repeat', '--vision-dtype', 'bfloat16', '--out', str(tmp_path / 'out')]) == 0
    found = json.loads((tmp_path / 'out' / 'error.json').read_text())
    assert found['vision_dtype'] == 'bfloat16' and found['policy'] == {}
    assert by_name(found)['fp-repeat']['error']['mean'] > 0
    assert 'multiply in bfloat16' in (tmp_path / 'out' / 'report.html').read_text()
