# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Variants over a recording: interrupted and gone on with, the results are the same."""

from dataclasses import replace
import errno
from functools import lru_cache
import os

from made_recording import beginning, MadeRecording, MS, ticks, TOPICS
import numpy as np
from observer_scene import NOW_NS, OPTIONS
import pytest
from sqap_vla_ros.control.command import Measured
from sqap_vla_ros.errors import ConfigError, ObservationError
from sqap_vla_ros.geometry.image_transform import ImageTransform
from sqap_vla_ros.geometry.transform_buffer import Pose
from sqap_vla_ros.numerics.precision import PRECISIONS
from sqap_vla_ros.observation import STATE_NAMES
from sqap_vla_ros.options import PolicyOptions
from sqap_vla_ros.policy import load_policy
from sqap_vla_ros.replay import variants as variants_module
from sqap_vla_ros.replay.looking import Looking, LookOptions
from sqap_vla_ros.replay.results import DROPPED
from sqap_vla_ros.replay.run import patch_box, Replay
from sqap_vla_ros.replay.store import Table
from sqap_vla_ros.replay.unanswered import check_answered, reasons
from sqap_vla_ros.replay.variants import VariantOptions, Variants
from tiny_checkpoint import save_tiny_checkpoint

INSTRUCTIONS = ('stack the cups', 'pour the milk')
ASKED = VariantOptions('', PolicyOptions(threads=1, ensemble=3), ('fp', 'sqap'), (40, 20),
                       ('blank-image', 'other-instruction'), ('sqap@20',))
COUNT = 12
LOOKING = LookOptions({'': replace(OPTIONS, end_effector_frames=('hand',), max_image_change=0.0)},
                      state_names=STATE_NAMES)


@pytest.fixture(scope='module', autouse=True)
def weights_once():
    """Load the weights of each precision once: rows have policies of their own anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants_module, 'load_policy', lru_cache(load_policy))
        yield


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return a random checkpoint that takes a state."""
    path = tmp_path_factory.mktemp('models') / 'tiny'
    save_tiny_checkpoint(path, INSTRUCTIONS)
    return path


def messages():
    """Return a recording in which one image is lost."""
    found = beginning() + ticks(COUNT)
    at = 2 + 4 * 5 + 3
    found[at] = (*found[at][:2], ObservationError('cut off'))
    return found


def replay(checkpoint, out, **changes):
    """Return a Replay of it."""
    options = replace(ASKED, checkpoint=checkpoint)
    return replace(Replay(MadeRecording(messages()), TOPICS, LOOKING, Variants(options), (),
                          {'stride': 1}, out), **changes)


def ran(replay):
    """Return (Results, Store) of one that is run, without a word."""
    return replay.run(lambda text: None)


def numbers(results):
    """Return what may not differ of results, by name."""
    images = results.images
    found = {'poses': images.poses, 'joints': images.joints, 'problems': images.problems,
             'stamps': images.stamps_ns, 'pixels': images.pixels}
    for answers in results.answers:
        found.update({(answers.title, name): getattr(answers, name) for name in (
            'actions', 'velocities', 'positions', 'gripper', 'reasons', 'covered', 'problems')})
    return found


def assert_same(first, second):
    """Fail unless both have the same numbers, to the bit."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], str(name))


@pytest.fixture(scope='module')
def whole(checkpoint, tmp_path_factory):
    """Return the results of a replay that nobody interrupted."""
    return ran(replay(checkpoint, tmp_path_factory.mktemp('whole')))[0]


def test_auto_is_settled_before_a_weight_is_read_and_told_once(checkpoint, capsys):
    asked = replace(ASKED, checkpoint=checkpoint, variants=('auto', 'auto-follow'), controls=())
    rows = Variants(asked).rows
    (precision,) = {row.precision for row in rows}
    assert precision in PRECISIONS and {row.auto for row in rows} == {precision}
    assert [row.name for row in rows] == ['auto', 'auto-follow@40', 'auto-follow@20']
    assert capsys.readouterr().out.count(f'precision {precision}, chosen by auto: ') == 1


def test_all_rows_answer_the_same_observations(whole, checkpoint):
    assert [answers.title for answers in whole.answers] == [
        'fp', 'sqap@40', 'sqap@20', 'sqap@20, blank-image', 'sqap@20, other-instruction']
    assert len(whole.images) == COUNT and whole.images.problems[5] == 'cut off'
    plain = load_policy(checkpoint, PolicyOptions(threads=1, ensemble=3), precision='w4a4',
                        keep=20)
    looks = list(Looking(MadeRecording(messages()), TOPICS, LOOKING))
    answers = whole.answers[2]
    for row, look in enumerate(looks):
        if look.begins:
            plain.reset()
        if look.problem:
            assert np.isnan(answers.actions[row]).all()
            continue
        chunk = plain.infer(look.observation)
        np.testing.assert_array_equal(answers.actions[row], chunk.actions)
        np.testing.assert_array_equal(np.flatnonzero(answers.kept[row]), chunk.selection.kept)
        pose = Measured(Pose(look.pose[:3], look.pose[3:]))
        command, = plain.config.action_space.commands(chunk.actions, pose)
        np.testing.assert_array_equal(answers.velocities[row, 0], command.velocity)
        np.testing.assert_array_equal(answers.positions[row, 0], command.position)
        assert answers.gripper[row, 0] == command.gripper
    fp, kept = whole.answers[:2]
    assert fp.kept.all() and (kept.kept[0].sum(), answers.kept[0].sum()) == (40, 20)
    assert kept.reasons.max() == DROPPED and kept.covered[0].any()
    assert not (kept.covered & ~kept.kept)[[0, 1]].any(), 'what covers the hand is kept'


def test_controls_change_what_they_are_named_for(whole):
    plain, blank, other = whole.answers[2:]
    for control in (blank, other):
        assert np.nanmax(np.abs(control.actions - plain.actions)) > 1e-3
    np.testing.assert_array_equal(blank.covered, plain.covered)


class Stopped:
    """Looks until it is interrupted."""

    def __init__(self, looking, count):
        self._looking, self._count = looking, count

    def __getattr__(self, name):
        return getattr(self._looking, name)

    def __iter__(self):
        for index, look in enumerate(self._looking):
            if index == self._count:
                raise KeyboardInterrupt
            yield look


@pytest.mark.parametrize('torn', [0, 7])
def test_an_interrupted_replay_goes_on_to_the_same_results(
        torn, checkpoint, tmp_path, whole, monkeypatch, capsys):
    stopped = replay(checkpoint, tmp_path)
    make = Replay.new_looking
    monkeypatch.setattr(Replay, 'new_looking', lambda self: Stopped(make(self), 9))
    with pytest.raises(KeyboardInterrupt):
        ran(stopped)
    assert 'interrupted: 9 of about 12' in capsys.readouterr().out
    if torn:  # killed while it wrote
        for path in (tmp_path / 'answers').glob('*.bin'):
            path.write_bytes(path.read_bytes()[:-torn])
    monkeypatch.undo()
    asked = []
    infer = variants_module.Asked.answer
    monkeypatch.setattr(variants_module.Asked, 'answer', lambda self, *given: (
        asked.append(self.row.name), infer(self, *given))[1])
    results, store = ran(replay(checkpoint, tmp_path))
    assert_same(numbers(results), numbers(whole))
    missing = 3 + bool(torn) + 2  # and two before, which an ensemble of three remembers
    assert len(asked) == 5 * missing, 'what was answered is not answered again'
    store.remove()
    assert not list(tmp_path.iterdir())


def test_precisions_that_do_not_fit_together_come_one_after_the_other(
        checkpoint, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(variants_module, 'available_bytes', lambda: 1)
    told = []
    results, store = replay(checkpoint, tmp_path).run(told.append)
    store.close()
    assert 'gone through 2 times' in told[0] and '0 MiB are free' in told[0]
    assert_same(numbers(results), numbers(whole))
    again, store = ran(replay(checkpoint, tmp_path))
    assert_same(numbers(again), numbers(whole))
    store.close()


def test_a_directory_takes_one_replay(checkpoint, tmp_path):
    ran(replay(checkpoint, tmp_path))[1].close()
    with pytest.raises(ConfigError, match='stride was 1 and is 2. Give the same options'):
        ran(replay(checkpoint, tmp_path, decides={'stride': 2}))
    (tmp_path / 'answers' / 'run.json').write_text('{"decides"')
    with pytest.raises(ConfigError, match='run.json is damaged.*to start again'):
        ran(replay(checkpoint, tmp_path))


def test_two_replays_are_not_written_into_one_directory(checkpoint, tmp_path):
    _, store = ran(replay(checkpoint, tmp_path))
    rows = len(store.images)
    with pytest.raises(ConfigError, match=fr'another process \(number {os.getpid()}\) is writing '
                                          'the replay in .*: wait for it, stop it, or give'):
        ran(replay(checkpoint, tmp_path))
    assert len(store.images) == rows
    store.close()
    ran(replay(checkpoint, tmp_path))[1].remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('change, match', [
    (lambda found: found[:2] + ticks(COUNT, start_ns=NOW_NS + MS),
     'has image 0 of .* s in row 0, and the recording has image 0 of'),
    (lambda found: found[:-4], 'has 12 images and the recording has 11: it has changed since')])
def test_answers_of_other_images_are_not_gone_on_with(change, match, checkpoint, tmp_path):
    _, store = ran(replay(checkpoint, tmp_path))
    store.finished = []
    store.finish((), {})  # as one that was interrupted behind its last image
    store.close()
    with pytest.raises(ConfigError, match=match):
        ran(replay(checkpoint, tmp_path, recording=MadeRecording(change(messages()))))


def test_an_image_that_was_lost_is_answered_again(checkpoint, tmp_path, whole):
    _, store = ran(replay(checkpoint, tmp_path))
    store.finished = []
    store.finish((), {})
    store.close()
    images = tmp_path / 'answers' / 'images.bin'
    images.write_bytes(images.read_bytes()[:-3 * store.images.kind.itemsize - 1])
    results, store = ran(replay(checkpoint, tmp_path))
    store.close()
    assert_same(numbers(results), numbers(whole))


def test_a_full_disk_keeps_what_was_answered(checkpoint, tmp_path, whole, monkeypatch):
    append, count = Table.append, []

    def full(self, **fields):
        count.append(1)
        if len(count) > 20:
            with self._saving():
                raise OSError(errno.ENOSPC, 'No space left on device')
        append(self, **fields)
    monkeypatch.setattr(Table, 'append', full)
    with pytest.raises(ConfigError, match='No space left for .*start the same command again; '
                                          'what is answered by now is kept'):
        ran(replay(checkpoint, tmp_path))
    monkeypatch.undo()
    assert_same(numbers(ran(replay(checkpoint, tmp_path))[0]), numbers(whole))


def test_results_without_an_answer_are_told_with_counts(checkpoint, tmp_path):
    results, _ = ran(replay(checkpoint, tmp_path))
    images = replace(results.images, problems=('no joint_states',) * 11 + ('cut off',))
    results = replace(results, images=images, answers=())
    with pytest.raises(ObservationError, match='none of 12 images could be answered: 11 x '
                                               'no joint_states; 1 x cut off$'):
        check_answered(results)
    told = replace(results, facts={'topics': {'tf': '/tf', 'image': '/image'}})
    with pytest.raises(ObservationError, match='Nothing was heard as tf_static, joint_states: '
                                               '--topics tf_static=TOPIC names one$'):
        check_answered(told)
    assert reasons(['at 3.5 s', '', 'at 20 s', 'gone']) == [(2, 'at 3.5 s'), (1, 'gone')]
    none = replace(results, images=[], answers=(), losses=('of 7 episodes the video is missing',))
    with pytest.raises(ObservationError, match='no image in this part .*Lost: of 7 episodes'):
        check_answered(none)


def test_where_no_image_can_be_answered_it_is_told_before_the_policy_is_loaded(
        checkpoint, tmp_path, monkeypatch):
    lost = [message for message in messages() if message[1] != 'joint_states']
    whole = replay(checkpoint, tmp_path)
    with monkeypatch.context() as unloaded:
        unloaded.setattr(Variants, 'load', lambda *_: pytest.fail('it was loaded'))
        for topics in (TOPICS, replace(TOPICS, joint_states='')):
            with pytest.raises(ObservationError, match='none of 12 images could be answered: 11 x '
                                                       'joint_states has not told .*; 1 x cut'):
                ran(replay(checkpoint, tmp_path, recording=MadeRecording(lost), topics=topics,
                           decides={'of': topics.joint_states}))
    assert not list(tmp_path.iterdir()), 'nothing to go on with'
    late = [message for message in lost + messages()[-15:] if message[1] != 'camera_info'] + [
        message for message in messages() if message[1] == 'camera_info']
    late.sort(key=lambda message: message[0])
    results, _ = ran(replace(whole, recording=MadeRecording(late)))
    assert results.images.problems[0] and any(answers.answered.any()
                                              for answers in results.answers)


def test_controls_that_a_checkpoint_cannot_have_are_refused(checkpoint, tmp_path):
    options = VariantOptions(checkpoint, keep=(40,), controls=('other-instruction',))
    one = tmp_path / 'one'
    save_tiny_checkpoint(one, INSTRUCTIONS[:1])
    with pytest.raises(ConfigError, match='names 1: give --other-instruction'):
        Variants(replace(options, checkpoint=one))
    with pytest.raises(ObservationError, match='was not trained on'):
        Variants(replace(options, other='dance'))
    assert [(row.name, row.control) for row in Variants(options).rows] == [
        ('fp', 'none'), ('sqap@40', 'none'), ('fp', 'other-instruction')]


def test_patches_lie_where_the_image_was_cut():
    transform = ImageTransform((224, 224), 'resize-crop')
    found = patch_box(transform, (640, 480), (16, 16))
    np.testing.assert_allclose(found['patch_box'], [0.125, 0, 0.875, 1], atol=1e-3)
    assert found['patch_reversed'] == [False, False]
    assert patch_box(transform, (0, 0), (16, 16)) == {}
    large = ImageTransform((384, 384), rotate_180=True)  # 27 patches of 14 px, and 6 px are left
    found = patch_box(large, (640, 480), (27, 27))
    np.testing.assert_allclose(found['patch_box'], [6 / 384, 6 / 384, 1, 1], atol=1e-9)
