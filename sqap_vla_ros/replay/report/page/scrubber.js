// Which frame is looked at, by slider, keys, pointer, player and the list of the worst.
const now = {place: 0, answer: null, tokens: true, timer: 0, worst: -1};

const answered = (answer, place) =>
  Number.isFinite(ofChunk(answer.saidRows, answer, place, 0, 0));

function goTo(place, said = false) {
  now.place = Math.max(0, Math.min(shown.length - 1, place));
  const at = shown[now.place], slider = element('slider');
  const text = `frame ${drawn.number[at]}, ${digits(drawn.seconds[at])} s`;
  slider.value = now.place;
  slider.setAttribute('aria-valuetext', `${text}, ${now.place + 1} of ${shown.length}`);
  element('where').textContent = where(at);
  showProblem(at);
  showNumbers();
  drawPicture(now.place, now.answer, now.tokens);
  moveCursor();
  markWorst();
  if (said) element('live').textContent = text;
}

function where(at) {
  const several = drawn.episode[drawn.episode.length - 1] !== drawn.episode[0];
  const asked = data.texts[data.asked[now.place]];
  return `Frame ${drawn.number[at]}, ${drawn.seconds[at].toFixed(2)} s` +
    (several ? `, episode ${drawn.episode[at]}` : '') +
    ` (${now.place + 1} of ${shown.length} shown)` + (asked ? `: \u201c${asked}\u201d` : '');
}

function showProblem(at) {
  const texts = [], problem = data.texts[drawn.problem[at]];
  if (problem) texts.push(`The node would not move on this image: ${problem}`);
  for (const answer of lines()) {
    const own = data.texts[answer.problems[now.place]];
    if (own) texts.push(`${answer.title}: ${own}`);
  }
  const warning = data.texts[data.warnings[now.place]];
  if (warning) texts.push(`Warning: ${warning}`);
  element('problem').textContent = texts.join(' \u2014 ');
  element('problem').hidden = !texts.length;
}

function showNumbers() {
  const at = shown[now.place], first = answers[0], columns = lines();
  if (!first) return;
  const truth = visible.has(RECORDED), state = visible.has(MEASURED);
  const head = ['first row', ...(truth ? [first.truthIs] : []), ...(state ? ['measured'] : []),
    ...columns.map(answer => answer.title)];
  const rows = first.names.map((name, column) => [
    [name, first.units[column]], ...(truth ? [first.true[column][at]] : []),
    ...(state ? [first.state[column][at]] : []), ...columns.map(answer => answer.said[column][at])]);
  const blank = Array(head.length - 1 - columns.length).fill(null);
  if (first.truth) {
    rows.push([['error', first.errorUnit], ...blank, ...columns.map(answer => answer.error[at])]);
  }
  rows.push(...stageRows(columns, blank), [['tokens', 'kept'], ...blank, ...columns.map(kept)]);
  const cell = (value, index) => index ?
    made('td', {class: 'n'}, value === null ? '' : digits(value)) :
    made('th', {scope: 'row'}, `${value[0]} `, made('small', {}, value[1]));
  element('now').replaceChildren(
    made('tr', {}, ...head.map((text, index) => made('th', {scope: 'col',
      class: index ? 'n' : ''}, text))),
    ...rows.map(row => made('tr', {}, ...row.map(cell))));
}

function stageRows(columns, blank) {
  const names = [...new Set(columns.flatMap(answer => answer.stages.map(([name]) => name)))];
  return names.map(name => [[name, 'ms'], ...blank, ...columns.map(answer => {
    const found = answer.stages.find(([stage]) => stage === name);
    return found ? found[1][now.place] : NaN;
  })]);
}

function kept(answer) {
  const total = answer.total;
  if (!answered(answer, now.place)) return NaN;
  if (!answer.patches) return total;
  return answer.patches.subarray(now.place * total, (now.place + 1) * total)
    .reduce((sum, reason) => sum + (reason !== DROPPED), 0);
}

function play(on) {
  clearTimeout(now.timer);
  now.timer = 0;
  element('play').textContent = on ? 'Pause' : 'Play';
  element('play').setAttribute('aria-pressed', String(on));
  if (!on) return;
  if (now.place === shown.length - 1) goTo(0);
  const step = () => {
    if (now.place >= shown.length - 1) return play(false);
    goTo(now.place + 1);
    now.timer = setTimeout(step, pause());
  };
  now.timer = setTimeout(step, pause());
}

// ms until the next frame, as it was recorded, but none longer than half a second
function pause() {
  const next = shown[Math.min(now.place + 1, shown.length - 1)];
  const seconds = drawn.axis[next] - drawn.axis[shown[now.place]];
  return Math.max(20, Math.min(500, 1000 * seconds));
}

function showWorst() {
  const answer = now.answer, worst = answer ? answer.worst : [], unit = answer && answer.errorUnit;
  const some = worst.length > 0;
  for (const name of ['worst', 'worst-title', 'worst-note']) element(name).hidden = !some;
  element('worse').hidden = !some;
  if (!some) return;
  element('worst-note').textContent = `${answer.title}: ${answer.errorName}, ${unit}. ` +
    'Of frames within half a second only the worst is here.';
  element('worst').replaceChildren(...worst.map((place, rank) => {
    const at = shown[place], source = Object.values(data.pictures[place] || {})[0];
    const button = made('button', {'data-place': place},
      ...(source ? [made('img', {src: source, alt: ''})] : []),
      made('b', {}, `${rank + 1}. ${digits(answer.error[at])} ${unit}`),
      made('small', {}, `frame ${drawn.number[at]}, ${drawn.seconds[at].toFixed(2)} s`));
    button.onclick = () => {
      play(false);
      goTo(place, true);
      element('scrubber').scrollIntoView({block: 'nearest'});
    };
    return made('li', {}, button);
  }));
}

function markWorst() {
  for (const button of element('worst').querySelectorAll('button')) {
    button.setAttribute('aria-current', String(Number(button.dataset.place) === now.place));
  }
}

function nextWorst() {
  const worst = now.answer ? now.answer.worst : [];
  if (worst.length) goTo(worst[(worst.indexOf(now.place) + 1) % worst.length], true);
}

function choose(index) {
  now.answer = answers[(index + answers.length) % answers.length];
  element('answer').value = String(now.answer.index);
  showWorst();
}

function showTokens(on) {
  now.tokens = element('tokens').checked = on;
  goTo(now.place);
}
