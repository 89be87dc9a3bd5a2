// One plot a column, and the error above the latency; all have one time axis and one cursor.
const LEFT = 52, RIGHT = 8, HIGH = 112, TOP = 6, FOOT = 20;
// seconds to the right edge: there is room for what is answered to the last image
const LAST_S = drawn.axis[drawn.axis.length - 1] || 0;
const LONGEST_S = Math.max(0, ...answers.map(answer => answer.rows * answer.dt));
const END_S = Math.max(LONGEST_S, LAST_S + Math.min(LONGEST_S, .08 * LAST_S)) || 1;
const plots = []; // {panel, cursor, chunks, x, y}
const visible = new Set(); // titles of the curves that are drawn
const MEASURED = 'measured', RECORDED = 'recorded';

const lines = () => answers.filter(answer => visible.has(answer.title));

function panels() {
  const first = answers[0];
  if (!first) return [];
  const all = first.names.map((name, column) => ({
    name, unit: first.units[column], column,
    recorded: first.true[column], measured: first.state[column], of: answer => answer.said[column]}));
  if (answers.some(answer => answer.error.some(Number.isFinite))) {
    all.push({name: first.errorName, unit: first.errorUnit, of: answer => answer.error});
  }
  all.push({name: 'latency of the policy', unit: 'ms', of: answer => answer.latency});
  return all;
}

function drawPlots() {
  const box = element('plots'), width = Math.max(240, box.clientWidth);
  plots.length = 0;
  box.replaceChildren(...panels().map(panel => plotted(panel, width)));
  moveCursor();
}

function plotted(panel, width) {
  const curves = lines().map(answer => [panel.of(answer), answer.style]);
  if (panel.measured && visible.has(MEASURED)) curves.unshift([panel.measured, 'curve measured']);
  if (panel.recorded && visible.has(RECORDED)) curves.unshift([panel.recorded, 'curve recorded']);
  const [low, high] = reach(curves.map(([values]) => values), panel);
  const x = seconds => LEFT + seconds / END_S * (width - LEFT - RIGHT);
  const y = value => TOP + (high - value) / (high - low) * HIGH;
  const svg = made('svg', {
    viewBox: `0 0 ${width} ${TOP + HIGH + FOOT}`, role: 'img',
    'aria-label': `${panel.name}, ${panel.unit}, from ${digits(low)} to ${digits(high)}`});
  svg.append(made('rect', {x: LEFT, y: TOP, width: width - LEFT - RIGHT, height: HIGH,
    class: 'paper'}), ...grid(low, high, x, y, width), ...inferred(x));
  for (const [values, style] of curves) {
    svg.append(made('path', {class: style, d: path(drawn.axis, values, x, y)}));
  }
  const chunks = panel.column === undefined ? [] :
    lines().map(answer => [answer, made('path', {class: `${answer.style} chunk`}),
      made('path', {class: `${answer.style} rest`})]);
  for (const [, executed, rest] of chunks) svg.append(rest, executed);
  const cursor = made('line', {class: 'cursor', y1: TOP, y2: TOP + HIGH});
  svg.append(cursor);
  plots.push({panel, cursor, chunks, x, y, svg, width});
  return made('div', {}, made('h3', {}, panel.name + ' ', made('small', {}, panel.unit)), svg);
}

// the range of what is drawn: all chunks count, so that it stays while the cursor moves
function reach(curves, panel) {
  let low = panel.column === undefined ? 0 : Infinity, high = -Infinity;
  const see = value => {
    if (!Number.isFinite(value)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (const values of curves) values.forEach(see);
  if (panel.column !== undefined) {
    for (const answer of lines()) {
      const step = answer.names.length;
      for (let at = panel.column; at < answer.saidRows.length; at += step) see(answer.saidRows[at]);
    }
  }
  if (!(high >= low)) return [0, 1];
  const edge = (high - low || Math.abs(high) || 1) * .06;
  return [panel.column === undefined ? low : low - edge, high + edge];
}

function path(times, values, x, y) {
  let text = '', down = false;
  for (let at = 0; at < values.length; at++) {
    const fine = Number.isFinite(values[at]);
    const lonely = fine && !down && !Number.isFinite(values[at + 1]);
    if (fine) {
      text += `${down ? 'L' : 'M'}${x(times[at]).toFixed(1)} ${y(values[at]).toFixed(1)}`;
      if (lonely) text += 'h4';
    }
    down = fine && drawn.episode[at] === drawn.episode[at + 1];
  }
  return text;
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(each => each * power >= rough);
  const all = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at++) {
    all.push(at * step);
  }
  return [all, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
}

function grid(low, high, x, y, width) {
  const [levels, places] = ticks(low, high, 4), [times, decimals] = ticks(0, END_S, width / 110);
  const parts = levels.flatMap(value => [
    made('line', {class: 'axis', x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)}),
    made('text', {class: 'note', x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end'},
      Math.abs(value) >= 1e5 || places > 4 ? value.toExponential(0) : value.toFixed(places))]);
  parts.push(...times.map(value => made('text', {class: 'note', x: x(value),
    y: TOP + HIGH + 15, 'text-anchor': value ? 'middle' : 'start'},
  value.toFixed(decimals) + (value ? '' : ' s'))));
  for (let at = 1; at < drawn.axis.length; at++) {
    if (drawn.episode[at] === drawn.episode[at - 1]) continue;
    const middle = x((drawn.axis[at] + drawn.axis[at - 1]) / 2);
    parts.push(made('line', {class: 'edge', x1: middle, x2: middle, y1: TOP, y2: TOP + HIGH}));
  }
  return parts;
}

// marks along the foot: where it inferred, and where the node would not move
function inferred(x) {
  const marks = ['', ''];
  drawn.axis.forEach((seconds, at) => {
    marks[drawn.problem[at] ? 1 : 0] += `M${x(seconds).toFixed(1)} ${TOP + HIGH}v-5`;
  });
  return [made('path', {class: 'asked', d: marks[0]}), made('path', {class: 'refused', d: marks[1]})];
}

function moveCursor() {
  const at = shown[now.place], start = drawn.axis[at];
  for (const {panel, cursor, chunks, x, y} of plots) {
    cursor.setAttribute('x1', x(start));
    cursor.setAttribute('x2', x(start));
    for (const [answer, executed, rest] of chunks) {
      const times = [], values = [];
      for (let row = 0; row < answer.rows; row++) {
        const time = start + row * answer.dt;
        if (time > END_S + 1e-6) break;
        times.push(time);
        values.push(ofChunk(answer.saidRows, answer, now.place, row, panel.column));
      }
      const cut = answer.executed;
      executed.setAttribute('d', chunkPath(times.slice(0, cut), values.slice(0, cut), x, y));
      rest.setAttribute('d', chunkPath(times.slice(cut - 1), values.slice(cut - 1), x, y));
    }
  }
}

function chunkPath(times, values, x, y) {
  const points = values.map((value, row) => `${x(times[row]).toFixed(1)} ${y(value).toFixed(1)}`);
  return values.length && values.every(Number.isFinite) ? `M${points.join('L')}h.1` : '';
}

// the shown place whose time is nearest to where a pointer is
function placeAt(event) {
  const {svg, width} = plots[0], box = svg.getBoundingClientRect();
  const along = (event.clientX - box.left) / box.width * width;
  const seconds = (along - LEFT) / (width - LEFT - RIGHT) * END_S;
  let best = 0;
  shown.forEach((at, place) => {
    if (Math.abs(drawn.axis[at] - seconds) < Math.abs(drawn.axis[shown[best]] - seconds)) best = place;
  });
  return best;
}

function curveChoices() {
  const choices = [];
  const add = (title, label, style, on) => {
    const input = made('input', {type: 'checkbox'});
    input.checked = on;
    if (on) visible.add(title);
    input.onchange = () => {
      visible[input.checked ? 'add' : 'delete'](title);
      drawPlots();
      showNumbers();
    };
    choices.push(made('label', {}, input, made('svg', {class: 'swatch', viewBox: '0 0 26 10'},
      made('path', {class: style, d: 'M0 5H26'})), label));
  };
  const first = answers[0];
  if (first.truth) add(RECORDED, first.truth, 'curve recorded', true);
  if (first.state.some(values => values.some(Number.isFinite))) {
    add(MEASURED, 'measured by TF or joints', 'curve measured', !first.truth);
  }
  let on = 0;
  for (const answer of answers) {
    add(answer.title, answer.title, answer.style, answer.control === 'none' && on++ < 4);
  }
  element('lines').replaceChildren(...choices);
}
