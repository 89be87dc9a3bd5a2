# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a check: one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

import numpy as np

from .findings import Findings
from .judgement import FINE, UNJUDGED, WORDS, WRONG
from .trials import limit_px
from ..support.html import image_uri, listed, page

CLASSES = {FINE: 'good', UNJUDGED: 'unsure', WRONG: 'bad'}
MOST_TRIALS = 12
PLOT_PX = 260

STYLE = '#picture{cursor:crosshair}'
SCRIPT = """
const picture=document.getElementById('picture'),where=document.getElementById('where'),
drawn=picture.src,plain=document.getElementById('plain').src,size=picture.dataset,
box=document.getElementById('box');
function pixel(event){const r=picture.getBoundingClientRect(),
 h=box.checked?+size.shown:+size.height,
 u=(event.clientX-r.left)/r.width*size.width-.5,v=(event.clientY-r.top)/r.height*h-.5;
 return v<=size.height-.5?[u,v]:null}
picture.onmousemove=e=>{const p=pixel(e);
 where.textContent=p?'u '+p[0].toFixed(1)+', v '+p[1].toFixed(1)+' px':''};
picture.onclick=e=>{const p=pixel(e);if(!p)return;
 const text='--point '+p[0].toFixed(1)+','+p[1].toFixed(1);
 document.getElementById('option').textContent=text;
 if(navigator.clipboard)navigator.clipboard.writeText(text).catch(()=>{})};
box.onchange=()=>{picture.src=box.checked?drawn:plain};
"""


def report_html(findings: Findings, picture: np.ndarray) -> str:
    """Return the report; picture: of draw_check, RGB."""
    verdict, name = findings.verdict, escape(findings.shown.camera_frame)
    parts = [
        f'<h1>Camera check: {name}</h1><p class="muted">{escape(findings.source)}</p>',
        f'<div class="verdict {CLASSES[verdict.status]}">'
        f'<b>{WORDS[verdict.status]}</b>{escape(verdict.headline)}</div>',
        listed((*verdict.reasons, *findings.notes())), _to_do(findings),
        _picture(findings, picture), _frames(findings)]
    if verdict.offset is not None:
        parts += [_offset(findings), _trials(findings)]
    parts.append(_what_was_used(findings))
    return page(f'Camera check: {findings.shown.camera_frame}', '\n'.join(parts), STYLE, SCRIPT)


def _to_do(findings) -> str:
    paste, commands = findings.lines_to_paste(), findings.commands()
    if not paste and not commands:
        return ''
    parts = ['<h2>What to change</h2><div class="card">']
    if paste:
        parts.append("In the node's YAML, below ros__parameters:"
                     f'<pre>{escape(chr(10).join(paste))}</pre>')
    parts += [f'{escape(what[0].upper() + what[1:])}:<pre>{escape(command)}</pre>'
              for what, command in commands]
    return ''.join(parts) + '</div>'


def _picture(findings, picture) -> str:
    width, height = findings.shown.size
    shown = picture.shape[0] * width / picture.shape[1]
    plain = image_uri(findings.shown.image, '.jpg')
    return (
        '<h2>Picture</h2><div class="card"><figure><img id="picture" alt="frames projected into '
        f'the image" data-width="{width}" data-height="{height}" data-shown="{shown}" '
        f'src="{image_uri(picture)}"></figure><img id="plain" alt="" hidden '
        f'src="{plain}"><p><label><input type="checkbox" id="box" checked> drawing</label> '
        '&nbsp; <span id="where" class="muted">move over the picture for pixels</span> &nbsp; '
        '<code id="option"></code></p><p class="muted">Click where the tool frame really is: '
        'the option to measure it with appears above, and is copied.</p></div>')


def _frames(findings) -> str:
    rows = ''.join(
        f'<tr><td>{escape(frame)}</td><td class="n">{_number(pixel[0])}, {_number(pixel[1])}</td>'
        f'<td class="n">{depth:.3f}</td><td{"" if where == "on the image" else " class=bad"}>'
        f'{where}</td><td class="n">{age_ms:.1f}</td></tr>'
        for frame, pixel, depth, where, age_ms in findings.rows())
    return ('<h2>Frames</h2><div class="card"><table><tr><th>frame</th><th class="n">pixel u, v'
            '</th><th class="n">depth, m</th><th></th><th class="n">TF off the image\'s time, ms'
            f'</th></tr>{rows}</table></div>')


def _number(value) -> str:
    return f'{value:.1f}' if np.isfinite(value) else '-'


def _offset(findings) -> str:
    offset, sample = findings.verdict.offset, findings.shown
    rows = [('points', f'{offset.count} in {len(findings.evidence)} images'),
            ('median', f'{_number(offset.median_px)} px'), ('p95', f'{_number(offset.p95_px)} px'),
            ('largest', f'{_number(offset.largest_px)} px')]
    if np.isfinite(offset.largest_px):
        rows.append(('shift', f'{offset.shift[0]:.1f} px right, {offset.shift[1]:.1f} px down'))
    if np.isfinite(offset.largest_px) and offset.scale is not None:
        rows += [('scale', f'{offset.scale:.4f}'),
                 ('rotation', f'{np.degrees(offset.rotation_rad):+.2f} degrees clockwise'),
                 ('left by these', f'{offset.rest_px:.2f} px rms')]
    rows.append(('limit', f'{limit_px(sample):.0f} px'))
    table = ''.join(f'<tr><td>{name}</td><td class="n">{value}</td></tr>' for name, value in rows)
    return (f'<h2>Offset: seen less projected</h2><div class="card flex"><div class="grow"><table>'
            f'{table}</table></div>{_plot(findings)}</div>')


def _plot(findings) -> str:
    """Return an SVG of the offsets as points round the middle."""
    observed = np.concatenate([item.pixels for item in findings.evidence])
    offsets = observed - findings.verdict.trials[0].projected
    if not np.isfinite(offsets).all():
        return ''
    reach = 1.15 * max(float(np.abs(offsets).max()), 1.0)
    half = PLOT_PX / 2
    dots = ''.join(f'<circle cx="{half * (1 + u / reach):.1f}" cy="{half * (1 + v / reach):.1f}" '
                   'r="2.5" fill="#2563eb" fill-opacity=".55"/>' for u, v in offsets[:2000])
    return (
        f'<svg width="{PLOT_PX}" height="{PLOT_PX + 18}" role="img" aria-label="offsets">'
        f'<rect width="{PLOT_PX}" height="{PLOT_PX}" class="paper"/>'
        f'<path d="M{half} 0V{PLOT_PX}M0 {half}H{PLOT_PX}" class="axis"/>{dots}'
        f'<text x="{half}" y="{PLOT_PX + 14}" text-anchor="middle" class="note">'
        f'u right, v down; edge: {reach:.1f} px</text></svg>')


def _trials(findings) -> str:
    trials, cause = findings.verdict.trials, findings.verdict.cause
    rows = ''.join(
        f'<tr{" class=best" if trial is cause else ""}><td>{escape(trial.title)}</td>'
        f'<td class="n">{_number(trial.offset.median_px)}</td>'
        f'<td class="n">{_number(trial.offset.p95_px)}</td></tr>'
        for trial in trials[:MOST_TRIALS + 1])
    more = len(trials) - 1 - MOST_TRIALS
    rest = f'<p class="muted">and {more} more that explain less</p>' if more > 0 else ''
    return ('<h2>What may be wrong, tried</h2><div class="card"><table><tr><th>taken as</th>'
            f'<th class="n">median, px</th><th class="n">p95, px</th></tr>{rows}</table>{rest}'
            '<p class="muted">-: points that would not be seen at all</p></div>')


def _what_was_used(findings) -> str:
    sample = findings.shown
    info = sample.info
    matrix = 'P' if sample.rectified else 'K'
    values = info.p if sample.rectified else info.k
    numbers = ', '.join(f'{float(value):.6g}' for value in values)
    links = '<br>'.join(escape(
        f'{link.parent} → {link.child}: {np.round(link.matrix[:3, 3], 4).tolist()} m'
        + (', static' if link.is_static else '')) for link in sample.links)
    distortion = ', '.join(f'{float(value):.4g}' for value in info.d)
    rows = [('image', f'{sample.size[0]} x {sample.size[1]} px'),
            ('camera_info', f'{info.width} x {info.height} px, {escape(info.distortion_model)} '
             f'[{distortion}]'), (matrix, numbers), ('from base to camera', links)]
    table = ''.join(f'<tr><td>{name}</td><td>{value}</td></tr>' for name, value in rows)
    return f'<h2>What was used</h2><div class="card"><table>{table}</table></div>'
