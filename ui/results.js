// Draws the list of results from props.value, whose shape ui/results.py gives. A user's text becomes text nodes only.
// What is on the page stays there until its data changes: a playing video, an open row, the focus.

const BINS = 10;
const PLACEHOLDERS = 4;
// In code points: what two lines can hold of a long text, and how much of it may come before its best span.
const EXCERPT = 360;
const LEAD = 20;
const GLYPHS = { text: 'T', image: '▦', video: '▶' };
const MEDIA = { image: picture, video: player };
const KEYS = {
  ArrowDown: (at) => at + 1,
  j: (at) => at + 1,
  ArrowUp: (at) => at - 1,
  k: (at) => at - 1,
  Home: () => 0,
  End: (at, last) => last,
};

const root = element.querySelector('.results');
const still = matchMedia('(prefers-reduced-motion: reduce)');
const rows = new Map();
const opened = new Set();
const drawn = new WeakMap();
const histogram = node('span', 'histogram', { role: 'img' });
const heading = node('h2', 'title');
const chips = node('span', 'chips');
const status = node('div', 'unseen', { role: 'status', 'aria-live': 'polite' });
const trouble = node('div', 'trouble', { role: 'alert' });
const notes = node('div', 'notes');
const progress = node('div', 'progress', { role: 'progressbar', 'aria-valuemin': 0 }, node('i'));
const list = node('ol', 'list', { role: 'list' });
const waiting = node('div', 'waiting', { 'aria-hidden': 'true' });
const empty = node('div', 'empty');
const foot = node('div', 'foot');
const head = node('div', 'head', {}, heading, histogram, chips);
let shown;
let table;

root.append(head, status, trouble, progress, notes, list, waiting, empty, foot);
list.addEventListener('keydown', walk);
render();
watch('value', render);

function render() {
  const { value } = props;
  shown = { language: 'en', state: 'empty', scored: 0, total: 0, more: 0, hidden: 0, results: [], ...value };
  table = props.words[shown.language] ?? props.words.en;
  root.lang = shown.language === 'zh' ? 'zh-CN' : 'en';
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  drawHead();
  drawTrouble();
  drawNotes();
  drawRows();
  drawRest();
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function drawHead() {
  const { state, scored, total, ms, engine, fault, results, more } = shown;
  const scores = results.filter(isScored).map((row) => row.score);
  const bins = Array(BINS).fill(0);
  for (const score of scores) bins[Math.min(BINS - 1, Math.max(0, Math.floor(score * BINS)))] += 1;
  const texts = [total && say('scored', scored, total), ms != null && duration(ms), engine].filter(Boolean);
  draw(heading, shown.title || say('results'), (title) => [title]);
  draw(chips, texts, () => texts.map((text) => node('span', 'chip', {}, text)));
  // The bins are those of a score from 0 to 1: BM25's has no such bounds.
  histogram.hidden = scores.length < 3 || highest(scores) > 1;
  describe(histogram, say('histogram', bins.join(', ')));
  draw(histogram, bins, () => bins.map((count) => bar((100 * count) / Math.max(...bins))));

  const summary = scores.length ? say('summary', results.length + more, highest(scores).toFixed(2)) : '';
  const said = { loading: say('working'), stopped: say('stopped'), ready: summary };
  draw(status, fault ? '' : (said[state] ?? ''), (text) => [text]);

  progress.hidden = state !== 'loading' || Boolean(fault) || scored >= total;
  progress.setAttribute('aria-label', say('working'));
  progress.setAttribute('aria-valuemax', total);
  progress.setAttribute('aria-valuenow', scored);
  progress.firstChild.style.width = `${Math.max(3, (100 * scored) / (total || 1))}%`;
}

function drawTrouble() {
  const { fault, kept, results } = shown;
  trouble.hidden = !fault;
  draw(trouble, [fault, shown.language], () => {
    if (!fault) return [];
    const [title, advice] = table.faults[fault.key] ?? table.faults.unexpected;
    return [
      node('strong', '', {}, title),
      advice && node('div', '', {}, advice),
      fault.detail && node('div', 'cause', {}, fault.detail),
      node(
        'div',
        'actions',
        {},
        fault.load && action('load', 'first', () => trigger('load_model')),
        action('retry', '', () => trigger('retry')),
      ),
    ];
  });
  list.classList.toggle('previous', Boolean(kept));
  list.hidden = !results.length;
}

function drawNotes() {
  const { state, fault, flat, kept, results } = shown;
  const texts = [
    ['warning', flat && say('flat')],
    ['', state === 'stopped' && !fault && say('stopped')],
    ['plain', kept && results.length && say('kept')],
  ].filter(([, text]) => text);
  draw(notes, texts, () => texts.map(([look, text]) => node('p', `note ${look}`, {}, text)));
}

function drawRows() {
  const tops = new Map([...rows.values()].map(({ item }) => [item, item.getBoundingClientRect().top]));
  const full = Math.max(1, highest(shown.results.filter(isScored).map((row) => row.score)));
  const kept = new Set(shown.results.map(identity));
  for (const [key, { item }] of rows) {
    if (kept.has(key)) continue;
    item.remove();
    rows.delete(key);
  }
  list.style.setProperty('--digits', String(highest(shown.results.map((row) => row.rank ?? 1))).length);
  let next = list.firstElementChild;
  for (const data of shown.results) {
    const key = identity(data);
    if (!rows.has(key)) rows.set(key, newRow(key));
    const row = rows.get(key);
    drawRow(row, data, full);
    if (row.item === next) next = next.nextElementSibling;
    // Where a browser has moveBefore, a film that is moved plays on and the focus stays.
    else if (row.item.isConnected && list.moveBefore) list.moveBefore(row.item, next);
    else list.insertBefore(row.item, next);
  }
  if (!still.matches) glide(tops);
}

/** A text that takes the place of another is another row, and comes closed. */
function identity({ id, kind, text, name }) {
  return JSON.stringify([id, kind, text, name]);
}

function newRow(key) {
  const detail = node('div', 'detail', { id: `detail-${crypto.getRandomValues(new Uint32Array(2)).join('-')}` });
  const button = node('button', 'words', { type: 'button', 'aria-controls': detail.id });
  const row = {
    key,
    button,
    detail,
    rank: node('span', 'rank'),
    tile: node('span', 'tile'),
    meta: node('span', 'meta'),
    score: node('div', 'score'),
    media: node('div', 'media'),
    strip: node('div', 'strip'),
    text: node('div', 'text'),
  };
  const main = node('div', 'main', {}, button, row.meta);
  const sign = node('span', 'sign', { 'aria-hidden': 'true' }, '›');
  const summary = node('div', 'row', {}, row.rank, row.tile, main, row.score, sign);
  detail.append(row.media, row.strip, row.text);
  row.item = node('li', 'item', {}, summary, detail);
  summary.addEventListener('click', () => {
    if (!opened.delete(key)) opened.add(key);
    drawDetail(row);
  });
  return row;
}

function drawRow(row, data, full) {
  const { language } = shown;
  row.data = data;
  row.item.dataset.kind = data.kind;
  row.item.dataset.rank = data.rank ?? '';
  draw(row.rank, [data.rank, language], () => [data.rank ? say('rank', data.rank) : '–']);
  draw(row.tile, [data.kind, data.thumb], () => tile(data));
  draw(row.button, [data.text, data.name, data.spans, language], () => [node('span', 'lines', {}, ...excerpt(data))]);
  draw(row.meta, [data.kind, data.moved, data.rank, data.name, language], () => meta(data));
  draw(row.score, [data.score, data.failed, full, language], () => score(data, full));
  drawDetail(row);
}

function drawDetail({ key, item, button, detail, media, strip, text, data }) {
  const isOpen = opened.has(key);
  item.classList.toggle('open', isOpen);
  button.setAttribute('aria-expanded', isOpen);
  detail.hidden = !isOpen;
  if (!isOpen) {
    media.querySelector('video')?.pause();
    return;
  }
  const { language } = shown;
  const url = source(data.source) || source(data.thumb);
  draw(media, [data.kind, url], () => [url && MEDIA[data.kind]?.(data, url)]);
  draw(strip, [data.frames, language], () => frames(data));
  draw(text, [data.text, data.spans, language], () => fullText(data));
}

function drawRest() {
  const { state, fault, results, total, more, hidden } = shown;
  const blanks = state === 'loading' && !fault ? Math.min(PLACEHOLDERS, total || PLACEHOLDERS) : 0;
  const missing = Math.max(0, blanks - results.length);
  draw(waiting, missing, () => Array.from({ length: missing }, placeholder));
  waiting.hidden = !missing;

  empty.hidden = Boolean(results.length || missing || fault);
  const below = hidden ? say('hidden', hidden) : '';
  draw(empty, [below, shown.language], () => [
    node('span', 'art', { 'aria-hidden': 'true' }, node('i'), node('i'), node('i')),
    node('strong', '', {}, say(below ? 'nothing_left' : 'empty_title')),
    node('div', '', {}, below || say('empty_step')),
  ]);

  const marked = results.some((row) => row.spans?.length);
  const lines = [more && say('more', more), below, marked && say('spans_note')].filter(Boolean);
  foot.hidden = !results.length;
  draw(foot, lines, () => lines.map((line) => node('div', '', {}, line)));
}

/** Fills `place` anew only where `data` is not what it was filled from. */
function draw(place, data, fill) {
  const key = JSON.stringify(data);
  if (drawn.get(place) === key) return;
  drawn.set(place, key);
  place.replaceChildren(...fill(data).filter(Boolean));
}

function tile({ kind, thumb }) {
  const glyph = node('span', 'glyph', { 'aria-hidden': 'true' }, GLYPHS[kind]);
  const url = source(thumb);
  const badge = kind === 'video' && url && node('span', 'badge', {}, '▶');
  return [url ? image(url, '', glyph) : glyph, badge];
}

function meta({ kind, moved, rank, name, text }) {
  const parts = [node('span', '', {}, say(kind)), text && name && node('span', 'name', {}, name)];
  if (moved != null) {
    const [look, sign] = moved > 0 ? ['up', `▲ ${moved}`] : moved < 0 ? ['down', `▼ ${-moved}`] : ['same', '='];
    parts.push(describe(node('span', `moved ${look}`, { role: 'img' }, sign), say('was', rank + moved)));
  }
  return parts.filter(Boolean);
}

function score(data, full) {
  if (data.failed) return [node('span', 'failed', {}, say('failed_item', data.failed))];
  if (!isScored(data)) return [];
  const range = { 'aria-valuemin': 0, 'aria-valuemax': full, 'aria-valuenow': data.score.toFixed(3) };
  const meter = node('div', 'meter', { role: 'meter', 'aria-label': say('score'), ...range }, node('i'));
  meter.firstChild.style.width = `${Math.min(100, Math.max(0, (100 * data.score) / full))}%`;
  return [node('span', 'number', {}, data.score.toFixed(3)), meter];
}

function picture(data, url) {
  return image(url, data.name ?? '');
}

function player(data, url) {
  if (!source(data.source)) return picture(data, url);
  const video = node('video', '', { controls: '', playsinline: '', preload: 'metadata', 'aria-label': data.name });
  video.muted = true;
  video.poster = source(data.thumb);
  video.src = url;
  return video;
}

function frames({ frames: seen }) {
  if (!seen?.length) return [];
  const shots = seen.map((frame) => {
    const caption = node('figcaption', '', {}, clock(frame.seconds));
    return node('figure', '', {}, image(source(frame.image), ''), caption);
  });
  // What scrolls must be reached by the keyboard.
  const band = node('div', 'band', { role: 'group', tabindex: 0, 'aria-label': say('frames') }, ...shots);
  return [node('div', 'caption', {}, say('frames')), band];
}

function fullText({ text, spans }) {
  if (!text) return [];
  const copied = action('copy', '', async () => {
    await copy(text);
    copied.textContent = say('copied');
    setTimeout(() => (copied.textContent = say('copy')), 1500);
  });
  return [node('p', 'full', {}, ...marked(Array.from(text), spans)), node('div', 'actions', {}, copied)];
}

/** The beginning of a text, or what is about its best span where that comes late. */
function excerpt({ text, name, spans }) {
  if (!text) return [name ?? ''];
  const points = Array.from(text);
  const best = [...(spans ?? [])].sort((one, other) => (other.score ?? 0) - (one.score ?? 0))[0];
  const isLate = best && best.end > EXCERPT / 3 && points.length > EXCERPT / 2;
  const lead = isLate ? Math.max(0, best.start - LEAD) : 0;
  const start = lead && lead + points.slice(lead, best.start).indexOf(' ') + 1;
  const part = points.slice(start, start + EXCERPT);
  const moved = (spans ?? []).map((span) => ({ ...span, start: span.start - start, end: span.end - start }));
  return [start ? '… ' : '', ...marked(part, moved)];
}

/** Text and <mark>s of code points: spans come in any order, may overlap, and may lie outside. */
function marked(points, spans) {
  const parts = [];
  let at = 0;
  for (const span of [...(spans ?? [])].sort((one, other) => one.start - other.start)) {
    const [start, end] = [Math.max(at, span.start), Math.min(points.length, span.end)];
    if (start >= end) continue;
    const mark = node('mark', '', {}, points.slice(start, end).join(''));
    if (span.score != null) mark.title = say('relevance', span.score.toFixed(2));
    parts.push(points.slice(at, start).join(''), mark);
    at = end;
  }
  return [...parts, points.slice(at).join('')];
}

function placeholder() {
  const parts = ['rank', 'tile', 'line', 'line', 'number'].map((part) => node('i', part));
  const blank = node('div', 'placeholder', {}, ...parts);
  // Not a CSS animation: Gradio nests the style sheet in a rule, where @keyframes has no effect.
  const sweep = [{ transform: 'translateX(-100%)' }, { transform: 'translateX(100%)' }];
  if (!still.matches) blank.animate(sweep, { pseudoElement: '::after', duration: 1400, iterations: Infinity });
  return blank;
}

/** Rows go from where they were seen to where they now are; those out of sight need not. */
function glide(tops) {
  const moves = [...rows.values()].map(({ item }) => {
    for (const running of item.getAnimations()) running.cancel();
    return [item, item.getBoundingClientRect().top];
  });
  const isSeen = (top) => top > -200 && top < innerHeight;
  for (const [order, [item, top]] of moves.filter(([item, at]) => isSeen(at) || isSeen(tops.get(item))).entries()) {
    const way = (tops.get(item) ?? top) - top;
    const easing = 'cubic-bezier(.2, .7, .2, 1)';
    if (!tops.has(item)) {
      const rise = [{ opacity: 0, transform: 'translateY(8px)' }, { opacity: 1, transform: 'none' }];
      item.animate(rise, { duration: 240, delay: Math.min(order, 8) * 25, easing, fill: 'backwards' });
    } else if (Math.abs(way) > 1) {
      item.animate([{ transform: `translateY(${way}px)` }, { transform: 'none' }], { duration: 340, easing });
    }
  }
}

function walk(event) {
  const buttons = [...list.querySelectorAll('.words')];
  const at = buttons.indexOf(event.target);
  const isOurs = at >= 0 && !event.ctrlKey && !event.metaKey && !event.altKey;
  const target = isOurs && buttons[KEYS[event.key]?.(at, buttons.length - 1)];
  if (!target) return;
  target.focus();
  event.preventDefault();
}

function action(key, look, act) {
  const button = node('button', `action ${look}`, { type: 'button' }, say(key));
  button.addEventListener('click', act);
  return button;
}

function image(url, alt, instead) {
  const shot = node('img', '', { alt, loading: 'lazy', decoding: 'async' });
  // An upload is kept for an hour: then its picture is gone.
  if (instead) shot.addEventListener('error', () => shot.replaceWith(instead));
  shot.src = url;
  return shot;
}

/** The address of a picture or video that the studio serves or that carries its own data; of no other. */
function source(url) {
  return /^(data:(image|video)\/|\/?gradio_api\/file=)/.test(url ?? '') ? url : '';
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // A page over plain HTTP has no clipboard.
  const area = node('textarea', 'unseen');
  area.value = text;
  root.append(area);
  area.select();
  document.execCommand('copy');
  return area.remove();
}

function say(key, ...values) {
  return (table.words[key] ?? key).replace(/\{(\d)\}/g, (whole, place) => values[place] ?? '');
}

function isScored(row) {
  return Number.isFinite(row.score) && !row.failed;
}

function highest(numbers) {
  return numbers.reduce((most, number) => Math.max(most, number), 0);
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const part = tenths % 10 ? `.${tenths % 10}` : '';
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, '0')}${part}`;
}

function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function bar(percent) {
  const column = node('i');
  column.style.height = `${percent}%`;
  return column;
}

/** The same words for the eye and for the ear. */
function describe(place, text) {
  place.title = text;
  place.setAttribute('aria-label', text);
  return place;
}

function node(tag, look, attributes = {}, ...children) {
  const made = document.createElement(tag);
  if (look) made.className = look;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child || child === 0));
  return made;
}
