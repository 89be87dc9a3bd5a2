# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""One process alone writes; who waits for it gets in when it has ended, however it did."""

import errno
import fcntl
import subprocess
import sys

import pytest
from sqap_vla_ros.errors import ConfigError
from sqap_vla_ros.support import locks
from sqap_vla_ros.support.locks import Lock

OTHER = """
import sys
from sqap_vla_ros.support.locks import Lock
lock = Lock(sys.argv[1], 'writing')
print('taken', flush=True)
sys.stdin.read()
"""


def test_another_process_is_kept_out_until_it_is_killed(tmp_path):
    path = tmp_path / 'lock'
    with subprocess.Popen([sys.executable, '-c', OTHER, path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b'taken\n'
        with pytest.raises(ConfigError, match=fr'\(number {other.pid}\) is writing: wait'):
            Lock(path, 'writing')
        other.kill()
        other.wait()
    with Lock(path, 'writing'):
        assert path.is_file()
    assert not path.exists()


def test_a_lock_that_was_removed_keeps_nobody_out(tmp_path, monkeypatch):
    path, flock, held = tmp_path / 'lock', fcntl.flock, [Lock(tmp_path / 'lock', 'first')]

    def late(*given):
        while held:
            held.pop().release()  # between opening the file and locking it
        flock(*given)
    monkeypatch.setattr(locks.fcntl, 'flock', late)
    second = Lock(path, 'second')
    monkeypatch.undo()
    with pytest.raises(ConfigError, match='is third'):
        Lock(path, 'third')
    second.release()


def test_without_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def none(*given):
        raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(locks.fcntl, 'flock', none)
    with Lock(tmp_path / 'lock', 'first'), Lock(tmp_path / 'lock', 'second'):
        assert (tmp_path / 'lock').is_file()
    with pytest.raises(ConfigError, match='cannot be written .No such file or directory'):
        Lock(tmp_path / 'none' / 'lock', 'first')
