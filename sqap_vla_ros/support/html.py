# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""
Reports as one HTML file each that needs nothing else, all with one look.

A page is light or dark as its reader's system is, fits a phone, and forbids itself by its own
Content-Security-Policy whatever is not in the file: it loads nothing and sends nothing. So there
are no style attributes and no event handlers in its elements, but classes and one script.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

import cv2
import numpy as np

STYLE = """
:root{color-scheme:light dark;--ink:#1b1d21;--soft:#5a6270;--page:#f6f7f9;--card:#fff;
--line:#dfe2e7;--good:#0a7d4f;--unsure:#8a6d00;--bad:#b3261e;--accent:#1d5fd1;--code:#101418}
@media(prefers-color-scheme:dark){:root{--ink:#e4e7ec;--soft:#9aa4b2;--page:#14171b;--card:#1d2126;
--line:#343a43;--good:#1f9d6b;--unsure:#d0a520;--bad:#ff8a80;--accent:#7fb0ff;--code:#0b0e11}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0;color:var(--ink);background:var(--page)}
main{max-width:1080px;margin:0 auto;padding:24px}
@media(max-width:600px){main{padding:12px}}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}
h1,h2,p,li,td,figcaption{overflow-wrap:anywhere}
.verdict{color:#fff;border-radius:8px;padding:14px 18px;margin:16px 0}
.verdict b{display:block;font-size:13px;letter-spacing:.06em}
.verdict.good{background:#0a7d4f}.verdict.unsure{background:#8a6d00}.verdict.bad{background:#b3261e}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px 18px;
margin:12px 0}
.card>ul{margin:0;padding-left:18px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);
vertical-align:top}
td.n,th.n{text-align:right}td.n{white-space:nowrap}
tr.best td{font-weight:600}.bad{color:var(--bad)}.verdict.bad{color:#fff}.muted{color:var(--soft)}
pre{background:var(--code);color:#e6edf3;padding:10px 14px;border-radius:6px;overflow-x:auto;
white-space:pre-wrap;word-break:break-word;margin:6px 0}
figure{margin:0}img{max-width:100%;display:block;border-radius:6px}
.flex{display:flex;gap:24px;flex-wrap:wrap;align-items:flex-start}.grow{flex:1;min-width:280px}
.paper{fill:var(--page);stroke:var(--line)}.axis{stroke:var(--line);fill:none}
.note{font-size:12px;fill:var(--soft)}
.wide{overflow-x:auto}label{user-select:none}[hidden]{display:none!important}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
"""


def page(title: str, body: str, style: str = '', script: str = '') -> str:
    """
    Return a whole HTML page.

    title: plain text.  body: HTML of what stands in <main>.  style: CSS after STYLE.  script:
    JavaScript that runs when all is there.
    """
    style = STYLE + style
    policy = (f"default-src 'none'; img-src data:; style-src {_hashed(style)}; "
              f"script-src {_hashed(script)}; base-uri 'none'; form-action 'none'")
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
            f'<style>{style}</style></head>\n<body><main>{body}</main>\n'
            f'<script>{script}</script></body></html>\n')


def _hashed(text: str) -> str:
    """Return the source expression that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def image_uri(image: np.ndarray, suffix: str = '.png', quality: int = 88) -> str:
    """Return a data: URI of an image uint8 [H, W, 3] RGB; quality: of '.jpg', up to 100."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == '.jpg' else []
    data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    kind = {'.png': 'png', '.jpg': 'jpeg'}[suffix]
    return f'data:image/{kind};base64,' + base64.b64encode(data.tobytes()).decode()


def listed(sentences) -> str:
    """Return a card with plain texts as a list."""
    return ('<div class="card"><ul>' + ''.join(f'<li>{escape(text)}</li>' for text in sentences)
            + '</ul></div>')
