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
  const images = await Promise.all(pictures.map(([, source]) => openedImage(source)));
  if (mine !== wanted) return;
  const image = images[0], [width, height] = data.sizes[place];
  const canvas = element('picture'), scale = WIDTH_PX / width;
  const pen = fill(canvas, image, width, height);
  const counts = tokens && answer ? counted(place, answer) : null;
  if (counts) drawTokens(pen, canvas, place, answer, seenAt(pictures, 0));
  if (tokens) drawRings(pen, place, scale);
  canvas.setAttribute('aria-label', 'the camera image' + (image ? '' : ', which is missing') +
    (counts ? `, with the ${counts.kept} of ${counts.total} patches that ${answer.title} keeps` :
      ''));
  showLegend(place, answer, counts);
  showOthers(pictures, images, counts ? (pen, canvas, number) =>
    drawTokens(pen, canvas, place, answer, seenAt(pictures, number)) : null);
  canvas.dataset.shows = [place, answer.index, tokens]; // for tests: what is drawn by now
}

// an image as wide as a canvas gets here; its context, to draw on
function fill(canvas, image, width, height) {
  canvas.width = WIDTH_PX;
  canvas.height = Math.round(height * WIDTH_PX / width);
  const pen = canvas.getContext('2d');
  if (image) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  else blank(pen, canvas);
  return pen;
}

// which of the policy's images a picture is; -1 for none, one without names takes the first
function seenAt(pictures, number) {
  if (!data.seen.length) return number === 0 ? 0 : -1;
  return pictures.length ? data.seen.indexOf(pictures[number][0]) : 0;
}

function blank(pen, canvas) {
  pen.fillStyle = '#3a4048';
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = '#e4e7ec';
  pen.font = '20px system-ui,sans-serif';
  pen.fillText('no picture of this frame', 20, 40);
}

function counted(place, answer) {
  if (!answer.patches || !answered(answer, place)) return null;
  const {total} = answer, counts = {kept: 0, total, lost: 0, by: data.reasons.map(() => 0)};
  for (let patch = place * total; patch < (place + 1) * total; patch++) {
    const reason = answer.patches[patch];
    if (reason === DROPPED) counts.lost += covered[patch];
    else counts.kept++, counts.by[reason]++;
  }
  return counts;
}

// the tokens of one of the images that the policy takes, which lie one behind the other
function drawTokens(pen, canvas, place, answer, view) {
  if (view < 0) return;
  const [rows, cols] = answer.grid, first = place * answer.total + view * rows * cols;
  const [left, top, right, bottom] = data.box;
  const x = left * canvas.width, wide = (right - left) * canvas.width / cols;
  const y = top * canvas.height, high = (bottom - top) * canvas.height / rows;
  for (let patch = 0; patch < rows * cols; patch++) {
    const reason = answer.patches[first + patch];
    const row = Math.floor(patch / cols), col = patch % cols;
    const corner = [x + (data.reversed[1] ? cols - 1 - col : col) * wide,
      y + (data.reversed[0] ? rows - 1 - row : row) * high];
    if (reason === DROPPED) {
      pen.fillStyle = 'rgba(12,15,19,.68)';
      pen.fillRect(...corner, wide, high);
      if (covered[first + patch]) outline(pen, corner, wide, high, '#ff5449');
    } else {
      mark(pen, corner, wide, high, reason);
    }
  }
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
    parts.push(`${answer.title} keeps all ${answer.total} patches`);
  }
  const rings = Object.keys(data.pixels[place]);
  if (rings.length) parts.push(made('span', {}, ` \u25cb ${rings.join(', ')}`));
  legend.replaceChildren(...parts);
}

// the further cameras' pictures; draw(pen, canvas, number) adds the tokens, null for none
function showOthers(pictures, images, draw) {
  element('others').replaceChildren(...pictures.slice(1).map(([name, source], index) => {
    const image = images[index + 1], alt = `image of the camera ${name}`;
    if (!image || !draw || seenAt(pictures, index + 1) < 0) {
      return figure(made('img', {src: source, alt}), name);
    }
    const canvas = made('canvas', {role: 'img', 'aria-label': `${alt}, with its patches`});
    draw(fill(canvas, image, image.width, image.height), canvas, index + 1);
    return figure(canvas, name);
  }));
}

const figure = (picture, name) => made('figure', {}, picture, made('figcaption', {}, name));
