// What the page was given (report/embedded.py), as arrays.
const data = JSON.parse(document.getElementById('data').textContent);
const element = name => document.getElementById(name);
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const floats = text => new Float32Array(bytes(text).buffer);
const integers = text => new Int32Array(bytes(text).buffer);

const drawn = {
  number: integers(data.numbers), episode: integers(data.episodes),
  seconds: floats(data.seconds), axis: floats(data.axis), problem: data.problems};
const shown = data.shown; // places among the drawn
const covered = bytes(data.covered);

// floats of [columns][drawn] as one array a column
function columns(text, count) {
  const all = floats(text);
  return Array.from({length: count}, (_, column) =>
    all.subarray(column * drawn.axis.length, (column + 1) * drawn.axis.length));
}

const answers = data.answers.map((given, index) => {
  const count = given.names.length;
  const stages = Object.entries(given.stages).map(([name, text]) => [name, floats(text)]);
  return {
    ...given, index, stages, said: columns(given.said, count),
    true: columns(given.true, count), state: columns(given.state, count),
    saidRows: floats(given.saidRows), trueRows: floats(given.trueRows),
    error: floats(given.error), latency: floats(given.latency),
    patches: given.reasons ? bytes(given.reasons) : null,
    style: `curve c${index % 6} d${Math.floor(index / 6) % 3}`};
});

// row `row`, column `column` of an answer's chunk at a shown place
const ofChunk = (all, answer, place, row, column) =>
  all[(place * answer.rows + row) * answer.names.length + column];

// a number as a reader wants it, '-' where there is none
function digits(value, count = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '-';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e5) return String(value);
  return size >= 1e5 || size < 1e-4 ? value.toExponential(2) :
    value.toFixed(Math.max(0, Math.min(4, count - 1 - Math.floor(Math.log10(size)))));
}

function made(name, attributes = {}, ...children) {
  const svg = ['svg', 'path', 'line', 'text', 'rect', 'title'].includes(name);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) :
    document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
