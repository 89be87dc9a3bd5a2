# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""Every deployment.json that the documentation shows is one that is taken."""
import json

import golden_data
from markdown_pages import blocks, ROOT, spans
from near_misses import linked
import pytest
from sqap_vla_ros.control.action_space import ActionSpace
from sqap_vla_ros.formats import open_checkpoint
from sqap_vla_ros.formats.deployment import KEYS, read_deployment

PAGES = ('checkpoints.md', 'oft.md', 'evaluate.md')


def objects(page):
    """Yield the JSON objects of a page that have a key of deployment.json."""
    for text in (*(block.text for block in blocks(page)), *(text for _, text in spans(page))):
        try:
            content = json.loads(text)
        except ValueError:
            continue
        if isinstance(content, dict) and set(content) & KEYS:
            yield content


@pytest.mark.parametrize('page', PAGES)
def test_a_deployment_of_the_documentation_is_taken(tmp_path, page):
    found = list(objects(ROOT / 'docs' / page))
    assert found
    for content in found:
        (tmp_path / 'deployment.json').write_text(json.dumps(content))
        deployment = read_deployment(tmp_path)
        assert isinstance(deployment.action_space, ActionSpace) == ('action_space' in content)


def test_there_is_one_for_each_public_data_set():
    found = list(objects(ROOT / 'docs' / 'checkpoints.md'))
    presets = [space if isinstance(space, str) else space.get('preset')
               for space in (content.get('action_space') for content in found) if space]
    assert {'bridge', 'fractal', 'libero'} <= set(presets) and len(found) >= 10


@pytest.mark.parametrize('variant, wanted, count', [
    ('oft_tiny', 'libero', 8), ('oft_tiny_aloha', 'aloha', 14)])
def test_those_of_openvla_oft_fit_its_checkpoints(tmp_path, variant, wanted, count):
    content = next(content for content in objects(ROOT / 'docs' / 'checkpoints.md')
                   if content.get('image') == wanted and 'state' in content)
    path = linked(golden_data.oft(variant), tmp_path / 'c')
    (path / 'deployment.json').write_text(json.dumps(content))
    config = open_checkpoint(path).with_key(None).config
    assert len(config.state_names) == count and not config.state_names[0].startswith('state_')
    assert config.action_space.execute_steps == config.model.head.chunk_length
    assert len(config.action_space.names) == config.model.head.action_dim
