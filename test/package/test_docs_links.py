# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Links between pages lead somewhere, anchors included, and every page is linked."""

from pathlib import Path

from markdown_pages import anchors, links, pages, ROOT
import pytest


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def problem_of(page: Path, target: str) -> str:
    """Return why a link leads nowhere; '' if it does not, or leads out of the repository."""
    path, _, anchor = target.partition('#')
    if '://' in target or target.startswith('mailto:'):
        return ''
    found = (page.parent / path).resolve() if path else page
    if not found.exists():
        return f'there is no {path}'
    if anchor and anchor not in anchors(found):
        return f'{name_of(found)} has no heading #{anchor}'
    return ''


@pytest.mark.parametrize('page', pages(), ids=name_of)
def test_links_resolve(page):
    problems = [f'{name_of(page)}:{line}: {problem}' for line, target in links(page)
                if (problem := problem_of(page, target))]
    assert problems == []


def test_a_link_that_leads_nowhere_is_found():
    page = ROOT / 'README.md'
    assert problem_of(page, 'docs/nothing.md') == 'there is no docs/nothing.md'
    assert 'no heading #nothing' in problem_of(page, 'docs/safety.md#nothing')
    assert problem_of(page, 'docs/safety.md#how-the-arm-stops') == ''


def test_every_page_of_docs_is_in_the_index():
    index = ROOT / 'docs' / 'README.md'
    linked = {(index.parent / target.partition('#')[0]).resolve() for _, target in links(index)}
    assert set(ROOT.glob('docs/*.md')) - {index} <= linked
