// The image of a frame, with the tokens that an answer keeps.
const DROPPED = 255, WIDTH_PX = 640;
const opened = new Map(); // data: URI -> Promise of its image
let wanted = 0; // the newest drawing: an image that opens later than another draws nothing

function openedImage(source) {
  if (!opened.has(source)) {
    if (opened.size > 60) opened.delete(opened.keys().next().value);
    const image = new Image();
    image.src = source;
    opened.set(source, image.decode().then(() => image, () => null));
  }
  return opened.get(source);
}

async function drawPicture(place, answer, tokens) {
  const mine = ++wanted, pictures = Object.entries(data.pictures[place] || {});
  const image = pictures.length ? await openedImage(pictures[0][1]) : null;
  if (mine !== wanted) return;
  const [width, height] = data.sizes[place];
  const canvas = element('picture'), scale = WIDTH_PX / width;
  canvas.width = WIDTH_PX;
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext('2d');
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  else blank(pen, canvas);
  const counts = tokens && answer ? drawTokens(pen, canvas, place, answer) : null;
  if (tokens) drawRings(pen, place, scale);
  canvas.setAttribute('aria-label', 'the camera image' + (image ? '' : ', which is missing') +
    (counts ? `, with the ${counts.kept} of ${counts.total} patches that ${answer.title} keeps` :
      ''));
  showLegend(place, answer, counts);
  showOthers(pictures.slice(1));
  canvas.dataset.shows = [place, answer.index, tokens]; // for tests: what is drawn by now
}

function blank(pen, canvas) {
  pen.fillStyle = '#3a4048';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = '#e4e7ec';
  pen.font = '20px system-ui,sans-serif';
  pen.fillText('no picture of this frame', 20, 40);
}

function drawTokens(pen, canvas, place, answer) {
  const [rows, cols] = answer.grid, total = rows * cols;
  if (!answer.patches || !answered(answer, place)) return null;
  const [left, top, right, bottom] = data.box;
  const x = left * canvas.width, wide = (right - left) * canvas.width / cols;
  const y = top * canvas.height, high = (bottom - top) * canvas.height / rows;
  const counts = {kept: 0, total, lost: 0, by: data.reasons.map(() => 0)};
  for (let patch = 0; patch < total; patch++) {
    const reason = answer.patches[place * total + patch];
    const row = Math.floor(patch / cols), col = patch % cols;
    const corner = [x + (data.reversed[1] ? cols - 1 - col : col) * wide,
      y + (data.reversed[0] ? rows - 1 - row : row) * high];
    const robot = covered[place * total + patch];
    if (reason === DROPPED) {
      pen.fillStyle = 'rgba(12,15,19,.68)';
      pen.fillRect(...corner, wide, high);
      if (robot) outline(pen, corner, wide, high, '#ff5449', counts.lost++);
    } else {
      counts.kept++;
      counts.by[reason]++;
      mark(pen, corner, wide, high, reason);
    }
  }
  return counts;
}

function outline(pen, [x, y], wide, high, color) {
  pen.strokeStyle = color;
  pen.lineWidth = 2;
  pen.strokeRect(x + 1.5, y + 1.5, wide - 3, high - 3);
}

// a sign in the middle: shapes differ, so that it also reads without colours
function mark(pen, [x, y], wide, high, reason) {
  const u = x + wide / 2, v = y + high / 2, r = Math.max(2, Math.min(wide, high) / 7);
  const strokes = [
    [[-r, -r, r, r], [-r, r, r, -r]],
    [[0, -r, r, 0], [r, 0, 0, r], [0, r, -r, 0], [-r, 0, 0, -r]],
    [[-r, 0, r, 0], [0, -r, 0, r]],
    [[-r, -r, r, -r], [r, -r, r, r], [r, r, -r, r], [-r, r, -r, -r]]][reason];
  for (const [color, width] of [['rgba(0,0,0,.7)', 3.5], [data.reasons[reason].color, 1.8]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.beginPath();
    for (const [a, b, c, d] of strokes) {
      pen.moveTo(u + a, v + b);
      pen.lineTo(u + c, v + d);
    }
    pen.stroke();
  }
}

function drawRings(pen, place, scale) {
  for (const [u, v, radius] of Object.values(data.pixels[place])) {
    for (const [color, width] of [['#000', 4], ['#fff', 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      for (const r of [9, radius * scale > 9 ? radius * scale : 9]) {
        pen.beginPath();
        pen.arc((u + .5) * scale, (v + .5) * scale, r, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
  }
}

function showLegend(place, answer, counts) {
  const legend = element('legend'), parts = [];
  const part = (color, text) => {
    const dot = made('i', {class: 'dot'});
    dot.style.background = color;
    parts.push(made('span', {}, dot, text));
  };
  if (counts) {
    data.reasons.forEach((reason, index) => {
      if (counts.by[index]) part(reason.color, `${reason.name} ${counts.by[index]}: ${reason.why}`);
    });
    part('#0c0f13', `dark: dropped ${counts.total - counts.kept} of ${counts.total}`);
    if (counts.lost) part('#ff5449', `the robot's, dropped: ${counts.lost}`);
  } else if (answer && answer.patches === null) {
    parts.push(`${answer.title} keeps all ${answer.grid[0] * answer.grid[1]} patches`);
  }
  const rings = Object.keys(data.pixels[place]);
  if (rings.length) parts.push(made('span', {}, ` \u25cb ${rings.join(', ')}`));
  legend.replaceChildren(...parts);
}

function showOthers(pictures) {
  element('others').replaceChildren(...pictures.map(([name, source]) => made('figure', {},
    made('img', {src: source, alt: `image of the camera ${name}`}), made('figcaption', {}, name))));
}
