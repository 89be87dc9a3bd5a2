# Copyright 2026 The sqap_vla_ros Authors
# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser, from a file, with keys, pointer, a phone's width and a CSP."""
from dataclasses import replace

from browser import Browser, browser_path
import cv2
from made_results import made_results
import numpy as np
import pytest
from sqap_vla_ros.replay.metrics.run import summarised
from sqap_vla_ros.replay.report.chosen import worst_rows
from sqap_vla_ros.replay.report.curves import told
from sqap_vla_ros.replay.report.write import write_report

pytestmark = pytest.mark.skipif(
    browser_path() is None, reason='no browser: chromium or google-chrome is not installed')
HOSTILE = '</script><script>document.title="taken"</script><img src=x onerror=alert(1)>'
PLACE = 'Number(document.getElementById("slider").value)'


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    tab = Browser(tmp_path_factory.mktemp('browser'))
    yield tab
    tab.close()


@pytest.fixture(scope='module')
def results():
    """Return results with something to hide in every text that a recording brings."""
    made = made_results(controls=('none', 'blank-image'))
    return replace(made, losses=(HOSTILE,), facts={**made.facts, 'source': HOSTILE},
                   images=replace(made.images, instructions=(HOSTILE,) * 60,
                                  warnings=((HOSTILE,),) * 60))


def pictures(rows):
    """Yield grey pictures, the lighter the later."""
    for row in rows:
        yield {'front': np.full((224, 224, 3), 100 + 2 * row, np.uint8),
               'wrist': np.full((48, 64, 3), 30, np.uint8)}


@pytest.fixture(scope='module')
def path(results, tmp_path_factory):
    out = tmp_path_factory.mktemp('report') / 'report.html'
    write_report(results, summarised(results), pictures, out)
    return out


@pytest.fixture
def page(browser, path):
    browser.show(path)
    return browser


def when_drawn(page, place: int, answer: int, tokens: bool, expression: str):
    """Return an expression's value in the page once its picture shows this."""
    return page.run(
        'new Promise(done => {const look = () => document.getElementById("picture").dataset.shows '
        f'=== "{place},{answer},{str(tokens).lower()}" ? done({expression}) : '
        'setTimeout(look, 5); look()})')


def cells(page, row: str) -> list[str]:
    """Return the numbers of a row of the frame's table."""
    return page.run('[...document.querySelectorAll("#now tr")].find(row => '
                    f'row.cells[0].textContent.split(" ")[0] === "{row}") .innerText').split()[2:]


def test_it_opens_at_the_worst_frame_with_its_numbers_and_asks_for_nothing(page, path, results):
    pruned = told(results, results.answers[2])
    worst = worst_rows(pruned.error, results.images)
    assert page.run(PLACE) == worst[0]
    assert float(cells(page, 'error')[-1]) == pytest.approx(pruned.error[worst[0]], abs=6e-5)
    vx = [float(text) for text in cells(page, 'vx')]
    recorded = results.commands[0].values[worst[0], 0]
    said = [results.answers[place].velocities[worst[0], 0, 0] for place in (0, 2)]
    np.testing.assert_allclose(vx, [recorded, *said], atol=6e-5)
    ranks = page.run('[...document.querySelectorAll("#worst button")].map('
                     'button => Number(button.dataset.place))')
    assert tuple(ranks) == worst
    assert page.problems() == [] and page.requests() == [path.resolve().as_uri()]
    assert page.run('document.title') == f'Replay: {HOSTILE}'


def test_keys_move_the_frame_play_it_and_take_the_next_of_the_worst(page, results):
    worst = worst_rows(told(results, results.answers[2]).error, results.images)
    for key, place in (('Home', 0), ('ArrowRight', 1), ('ArrowRight', 2), ('ArrowLeft', 1),
                       ('PageDown', 11), ('End', 59), ('ArrowRight', 59), ('w', worst[0]),
                       ('w', worst[1]), ('Home', 0)):
        page.run('document.getElementById("slider").focus()')
        page.press(key)
        assert page.run(PLACE) == place, key
    text = page.run('document.getElementById("slider").getAttribute("aria-valuetext")')
    assert text == 'frame 0, 0 s, 1 of 60'
    page.press(' ')
    assert page.run('document.getElementById("play").getAttribute("aria-pressed")') == 'true'
    assert page.run(f'new Promise(done => {{const look = () => {PLACE} > 2 ? done(true) : '
                    'setTimeout(look, 10); look()})')
    page.press(' ')
    assert page.run('document.getElementById("play").textContent') == 'Play'
    page.run('document.getElementById("play").focus()')
    page.press(' ')  # is the button's own, and pressed once
    assert page.run('document.getElementById("play").textContent') == 'Pause'
    page.press('End')
    assert page.run(PLACE) == 59 and page.problems() == []
    assert page.run('document.getElementById("play").textContent') == 'Play'
    page.press(' ')  # at the end it begins anew
    assert page.run(PLACE) < 59


def test_keys_go_on_after_the_mouse_was_used_elsewhere(page):
    for chosen in ('#worst li:nth-child(2) button', '#lines input'):
        page.run(f'document.querySelector("{chosen}").focus()')
        page.run('document.getElementById("slider").scrollIntoView()')
        page.press('Home')
        page.press('ArrowRight')
        assert page.run(PLACE) == 1, chosen
    checked = page.run('document.activeElement.checked')
    page.press(' ')  # is the checkbox's own
    assert page.run('document.activeElement.checked') != checked and page.run(PLACE) == 1
    page.press(' ')


def test_keys_of_the_page_itself_stay_its_own(page):
    page.run('document.querySelector("#answer").focus()')
    before = page.run(PLACE)
    page.press('Home')
    assert page.run(PLACE) == before
    page.run('document.activeElement.blur(); scrollTo(0, document.body.scrollHeight)')
    page.press('Home')  # the scrubber is out of view: the page goes to its top
    assert page.run(PLACE) == before


def test_the_pointer_moves_the_frame_by_slider_curves_and_pictures(page):
    left, top, width, height = page.box('#slider')
    page.drag((left + 3, top + height / 2), (left + width / 2, top + height / 2))
    assert abs(page.run(PLACE) - 29.5) <= 1
    left, top, width, height = page.box('#plots svg')
    begin, end = left + 52, left + width - 8
    page.drag((begin, top + 40), (begin + .25 * (end - begin), top + 40))
    assert page.run(PLACE) == 16  # of 2.95 s, and 8 % for what is answered to the last image
    shown = page.run('document.querySelector("#plots .cursor").getAttribute("x1")')
    assert float(shown) == pytest.approx(52 + .25 * (width - 60), abs=10)
    page.click('#worst li:nth-child(2) button')
    place = page.run('Number(document.querySelector("#worst li:nth-child(2) button").dataset'
                     '.place)')
    assert page.run(PLACE) == place
    assert page.run('document.querySelector("#worst [aria-current=true]").dataset.place') == str(
        place)


def test_dropped_tokens_are_dark_in_the_picture_and_can_be_left_out(page, results):
    page.run('document.getElementById("slider").focus()')
    page.press('Home')
    look = ('(() => {const canvas = document.getElementById("picture"), size = canvas.width / 16; '
            'return [canvas.width / canvas.height, [...Array(256).keys()].map(patch => '
            'canvas.getContext("2d").getImageData((patch % 16 + .15) * size, '
            '(Math.floor(patch / 16) + .15) * size, 1, 1).data[0])]})()')
    ratio, light = when_drawn(page, 0, 2, True, look)
    kept = results.answers[2].kept[0]
    inner = ~results.answers[2].covered[0]  # rings are drawn on the robot
    assert ratio == 1 and kept.sum() == 154
    assert np.array_equal(np.array(light)[inner] > 70, kept[inner])
    page.press('t')
    assert np.median(when_drawn(page, 0, 2, False, look)[1]) == pytest.approx(100, abs=3)
    assert not page.run('document.getElementById("tokens").checked')
    assert 'wrist' in page.run('document.getElementById("others").textContent')


def test_patches_of_turned_and_cropped_images_lie_where_they_were_cut(
        browser, results, tmp_path):
    facts = {'patch_box': [.25, 0, .75, 1], 'image_transform': {
        'size': [224, 224], 'rotate_180': True, 'mirror': True}}
    kept = np.zeros((16, 16), bool)
    kept[0, 15] = True  # the top right one of the input, which is turned
    reasons = np.where(kept.ravel(), 0, 255).astype(np.uint8)[None].repeat(60, 0)
    turned = replace(results, facts=facts, images=replace(results.images, pixels=({},) * 60),
                     answers=(replace(results.answers[2], reasons=reasons),))
    write_report(turned, summarised(turned), lambda rows: (
        {'': np.full((100, 200, 3), 200, np.uint8)} for _ in rows), tmp_path / 'report.html')
    browser.show(tmp_path / 'report.html')
    look = ('(() => {const canvas = document.getElementById("picture"), pen = '
            'canvas.getContext("2d"); return [canvas.width, canvas.height, ...[[.3, .5], '
            '[.72, .99], [.72, .01], [.1, .5], [.9, .5]].map(([x, y]) => '
            'pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[0] > 150)]})()')
    place = browser.run(PLACE)
    assert when_drawn(browser, place, 0, True, look) == [
        640, 320, False, True, False, True, True]


def test_another_variant_has_its_own_worst_and_curves_can_be_chosen(page, results):
    worst = worst_rows(told(results, results.answers[0]).error, results.images)
    page.run('const box = document.getElementById("answer"); box.value = "0"; '
             'box.dispatchEvent(new Event("change"))')
    assert page.run('document.querySelector("#worst button").dataset.place') == str(worst[0])
    assert 'keeps all 256' in when_drawn(
        page, page.run(PLACE), 0, True, 'document.getElementById("legend").textContent')
    count = 'document.querySelector("#plots svg").querySelectorAll("path.curve:not(.chunk)' \
        ':not(.rest)").length'
    assert page.run(count) == 3  # recorded, fp and sqap; controls are left out
    page.click('#lines label:last-child input')
    assert page.run(count) == 4 and len(cells(page, 'vx')) == 4


def test_the_refused_frame_says_why_and_has_no_answer(page, results):
    page.run('location.hash = "#frame=5"')
    when_drawn(page, 5, 2, True, 0)
    assert page.run(PLACE) == 5
    assert results.images.problems[5] in page.run('document.getElementById("problem").innerText')
    assert cells(page, 'vx')[1:] == ['-', '-']


@pytest.mark.parametrize('dark', [False, True])
def test_a_phone_shows_all_of_it_in_light_and_dark(browser, path, dark, tmp_path):
    browser.show(path, 390, 844, dark)
    assert browser.run('document.documentElement.scrollWidth') == 390
    assert browser.run('document.getElementById("picture").getBoundingClientRect().width') > 300
    least = browser.run('Math.min(...[...document.querySelectorAll("#scrubber button")].map('
                        'button => button.getBoundingClientRect().height))')
    assert least >= 34
    browser.screenshot(tmp_path / 'phone.png')
    light = np.median(cv2.imread(str(tmp_path / 'phone.png')))
    assert light < 60 if dark else light > 200


def test_texts_of_a_recording_are_texts_and_long_names_do_not_widen_the_page(
        browser, results, tmp_path):
    long = '/a_name_without_a_break' * 12 + HOSTILE
    named = replace(
        results, answers=tuple(replace(each, name=each.name + long) for each in results.answers),
        commands=(replace(results.commands[0], source=long),), losses=(long,),
        facts={'source': long, 'instruction': long})
    write_report(named, summarised(named), None, tmp_path / 'report.html')
    browser.show(tmp_path / 'report.html', 390, 844)
    assert browser.run('document.documentElement.scrollWidth') == 390
    assert browser.problems() == []


def test_without_scripts_the_tables_are_there(browser, path):
    browser.call('Emulation.setScriptExecutionDisabled', value=True)
    browser.show(path)
    browser.call('Emulation.setScriptExecutionDisabled', value=False)
    assert browser.run('getComputedStyle(document.querySelector("table.table")).display') == (
        'table')
    assert browser.run('document.querySelector("#plots").children.length') == 0


def without_answers(made):
    """Return results whose second variant answered nothing, and whose first once said inf."""
    first, second = made.answers
    velocities = first.velocities.copy()
    velocities[3, 0, 0] = np.inf
    return replace(made, answers=(replace(first, velocities=velocities), replace(
        second, velocities=second.velocities * np.nan, gripper=second.gripper * np.nan,
        actions=second.actions * np.nan, problems=('the network is gone',) * len(made.images))))


@pytest.mark.parametrize('made', [
    made_results(0), made_results(1), replace(made_results(), commands=()),
    without_answers(made_results())],
    ids=['no image', 'one', 'no commands', 'no answer of a variant'])
def test_a_report_of_little_opens_without_an_error(browser, made, tmp_path):
    write_report(made, summarised(made), None, tmp_path / 'report.html')
    browser.show(tmp_path / 'report.html')
    assert browser.problems() == []
    assert not browser.run('document.getElementById("plots")?.innerHTML.includes("NaN")')
    if not made.commands:
        head = browser.run('document.querySelector("#now tr").innerText').split()
        assert head == ['first', 'row', 'measured', 'fp', 'sqap@154']
        assert browser.run('document.getElementById("lines").children.length') == 3
