# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The results on the disk: error.json, for programs, and report.html, for people."""

from __future__ import annotations

from dataclasses import asdict, replace
import json
from pathlib import Path

from .report import report_html
from .run import Measured
from ..errors import ConfigError
from ..evaluate.encoder_type import unusual
from ..support.checkpoint_files import digest
from ..support.files import check_directory, listing, make_directory, save_file
from ..support.machine import machine, versions

JSON, REPORT = 'error.json', 'report.html'
DIGITS = 6
ABOUT_BYTES = 2 ** 20


def check_out(out: Path | None) -> None:
    """Raise ConfigError, before any work, unless a new directory can be made, or is empty."""
    if out is None:
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        there = f'holds {listing(out)}' if out.is_dir() else 'is a file'
        raise ConfigError(f'--out {out} exists and {there}: name a new directory, so that nothing '
                          'is overwritten')
    parent = out.absolute()
    while not parent.exists():
        parent = parent.parent
    check_directory(parent, '--out', ABOUT_BYTES, out)


def write_results(measured: Measured, out: Path, curve: list[dict] | None = None) -> None:
    """Write both files; raise ConfigError where that cannot be."""
    make_directory(out)
    content = json.dumps(results(measured, curve), indent=1).encode() + b'\n'
    save_file(out / JSON, content, '--out')
    save_file(out / REPORT, report_html(measured, curve).encode('utf-8', 'backslashreplace'),
              '--out')


def results(measured: Measured, curve: list[dict] | None = None) -> dict:
    """Return all that was found, as plain values."""
    options, samples, fit = measured.options, measured.samples, measured.prediction.fit
    return {
        'checkpoint': Path(options.checkpoint).resolve().name,
        'checkpoint_sha256': digest(options.checkpoint),
        'quantized': options.quantized and Path(options.quantized).resolve().name,
        'quantized_sha256': options.quantized and digest(options.quantized),
        'samples': samples.record, 'frames': len(samples.samples),
        'episodes': measured.resampling.episodes, 'executed_rows': measured.columns.rows,
        'tokens': measured.tokens, 'policy': unusual(options.policy), **measured.rounded,
        'machine': machine(), 'versions': versions(), 'warnings': list(measured.doubts),
        'table': _rounded(measured.table), 'curve': _rounded(curve or []),
        'prediction': {**asdict(replace(fit, rows=())), 'is_own': measured.prediction.is_own,
                       'words': measured.prediction.words},
        'by_frame': {'episode': [sample.episode for sample in samples.samples], **{
            ', '.join(filter(None, (row.name, row.control * (row.control != 'none')))):
            _rounded(each.error.tolist()) for row, each in measured.found.items()}}}


def _rounded(value):
    """Return plain values with numbers to a millionth."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value
