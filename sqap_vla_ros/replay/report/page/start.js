// Ties the page together.
const KEYS = {
  ArrowLeft: () => goTo(now.place - 1), ArrowRight: () => goTo(now.place + 1),
  ArrowDown: () => goTo(now.place - 1), ArrowUp: () => goTo(now.place + 1),
  PageUp: () => goTo(now.place - 10), PageDown: () => goTo(now.place + 10),
  Home: () => goTo(0), End: () => goTo(shown.length - 1),
  ' ': () => play(!now.timer), w: nextWorst, v: () => { choose(now.answer.index + 1); goTo(now.place); },
  t: () => showTokens(!now.tokens)};

function inView() {
  const box = element('slider').getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight;
}

function pressed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, focus = event.target;
  if (!KEYS[key] || event.ctrlKey || event.altKey || event.metaKey) return;
  const own = element('scrubber').contains(focus) || element('plots').contains(focus);
  if (!own && !inView()) return;
  if (focus.matches('select')) return;
  if (key === ' ' && focus.matches('button, input[type=checkbox], summary')) return;
  if (!own && ['ArrowUp', 'ArrowDown', 'PageUp', 'PageDown'].includes(key)) return;
  if (!own && focus.scrollWidth > focus.clientWidth && focus.matches('.wide')) return;
  event.preventDefault();
  if (key !== ' ' && now.timer) play(false);
  KEYS[key]();
}

function fromAddress() {
  const number = Number((location.hash.match(/^#frame=(\d+)$/) || [])[1]);
  const place = shown.findIndex(at => drawn.number[at] === number);
  if (place >= 0) goTo(place, true);
  return place >= 0;
}

function follow(box) {
  const move = event => {
    play(false);
    goTo(placeAt(event));
  };
  box.addEventListener('pointerdown', event => {
    if (event.button) return;
    box.setPointerCapture(event.pointerId);
    move(event);
  });
  box.addEventListener('pointermove', event => {
    if (box.hasPointerCapture(event.pointerId)) move(event);
  });
}

function start() {
  if (!shown.length || !answers.length) return;
  element('slider').max = shown.length - 1;
  element('answer').replaceChildren(...answers.map(answer =>
    made('option', {value: answer.index}, answer.title)));
  curveChoices();
  choose((answers.find(answer => answer.patches && answer.control === 'none') || answers[0]).index);
  element('plots-note').textContent = plotsNote();
  drawPlots();
  if (!fromAddress()) goTo(now.answer.worst.length ? now.answer.worst[0] : 0);
  element('slider').oninput = event => { play(false); goTo(Number(event.target.value)); };
  element('before').onclick = () => { play(false); goTo(now.place - 1, true); };
  element('after').onclick = () => { play(false); goTo(now.place + 1, true); };
  element('play').onclick = () => play(!now.timer);
  element('worse').onclick = () => { play(false); nextWorst(); };
  element('answer').onchange = event => { choose(Number(event.target.value)); goTo(now.place); };
  element('tokens').onchange = event => showTokens(event.target.checked);
  addEventListener('hashchange', fromAddress);
  document.addEventListener('keydown', pressed);
  follow(element('plots'));
  let width = element('plots').clientWidth;
  addEventListener('resize', () => {
    if (element('plots').clientWidth !== width) {
      width = element('plots').clientWidth;
      drawPlots();
    }
  });
}

function plotsNote() {
  const thin = drawn.axis.length < data.count ? `${drawn.axis.length} of ${data.count} images ` +
    'are drawn: of each run of images the first and the one with the largest error. ' : '';
  return `${thin}Thin curves: the first row of each answer. Thick, from the cursor: the rows that ` +
    'would be executed of this frame\u2019s answer, then the rest of it. Marks along the foot: ' +
    'where it inferred; red: where the node would not move. Click or drag to move the frame.';
}

start();
