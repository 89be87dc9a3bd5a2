# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""What cannot be written is told before the work, or in one line; nothing is half-written."""
import errno
import os
from types import SimpleNamespace

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support import files


def test_an_output_is_tried_before_the_work_and_leaves_nothing(tmp_path):
    files.check_output(tmp_path / 'a.json', '--out', 100)
    assert list(tmp_path.iterdir()) == []
    files.check_output('/dev/null', '--out')


def test_an_output_that_cannot_be_is_told_with_what_is_there(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=f'^--out {tmp_path} cannot be written: is a directory'):
        files.check_output(tmp_path, '--out')
    (tmp_path / 'results').mkdir()
    with pytest.raises(ConfigError, match=(
            r'^--out .*reslts/a.json: the directory .*reslts does not exist '
            r"\(did you mean '.*/results'\?\): make it first$")):
        files.check_output(tmp_path / 'reslts' / 'a.json', '--out')
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda path: SimpleNamespace(free=99))
    with pytest.raises(ConfigError, match=(
            r'--out .*a.json cannot be written: No space left on device \(100 bytes are needed, '
            r'99 bytes are free\)$')):
        files.check_output(tmp_path / 'a.json', '--out', 100)


def test_a_directory_without_permission_is_told_at_once(tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError(errno.EACCES, 'Permission denied')
    monkeypatch.setattr(files.tempfile, 'TemporaryFile', refused)
    with pytest.raises(ConfigError, match=r'--dump .*x.npz cannot be written: Permission denied'):
        files.check_output(tmp_path / 'x.npz', '--dump')


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_file_that_is_refused_in_the_end_leaves_the_one_before(tmp_path, monkeypatch, number):
    path = tmp_path / 'a.json'
    path.write_bytes(b'before')

    def refused(*_):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr('os.replace', refused)
    with pytest.raises(ConfigError, match=(
            rf'^--out {path} cannot be written: {os.strerror(number)} \(5 bytes are needed, '
            r'\d+ bytes are free\)$')):
        files.save_file(path, b'after', '--out')
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b'before']


def test_only_what_a_disk_or_its_permissions_refuse_is_a_users_error(tmp_path):
    told = files.unwritable(OSError(errno.ENOSPC, 'No space left on device', str(tmp_path / 'x')))
    assert told.startswith(f'{tmp_path}/x cannot be written: No space left on device (')
    assert files.unwritable(OSError(errno.ECONNRESET, 'reset')) == ''


@pytest.mark.parametrize('names, told', [
    ((), 'nothing'), (('b', 'a'), 'a, b'), (('a', 'b', 'c', 'd', 'e'), 'a, b, c and 2 more')])
def test_a_directory_is_listed_in_short(tmp_path, names, told):
    for name in names:
        (tmp_path / name).touch()
    assert files.listing(tmp_path) == told
