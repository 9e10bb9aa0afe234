// Draws the pills of the header, and asks again: every 5 s, faster while an engine loads, never while nobody looks.
const box = element.querySelector('.status');
const [EVERY_MS, WHILE_LOADING_MS] = [5000, 700];
const GB = 2 ** 30;
let names = null;
let timer = null;
let asked = 0;

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
}

function pill(state, text) {
  const node = make('span', 'status-pill');
  if (state) node.append(make('span', `status-dot ${state}`));
  node.append(make('span', null, text));
  return node;
}

function draw(status) {
  const words = props.words[props.value?.language || 'en'].words;
  box.setAttribute('aria-label', words.status_label);
  const known = ['ready', 'stopped', 'loading', 'failed', 'offline', 'unreachable'];
  const state = known.includes(status.state) ? status.state : 'offline';
  const share = state === 'loading' && status.progress != null ? Math.round(status.progress * 100) : null;
  const main = pill(state, words[`state_${state}`] + (share == null ? '' : ` ${share} %`));
  main.setAttribute('role', 'status');
  if (status.detail) main.title = status.detail;
  if (share != null) {
    const bar = make('span', 'status-bar');
    const fill = make('i');
    fill.style.width = `${share}%`;
    bar.append(fill);
    main.append(bar);
  }
  const pills = [main];
  for (const gpu of status.gpus || []) {
    const used = (gpu.used_bytes / GB).toFixed(1);
    const node = pill('', `GPU ${used} / ${(gpu.total_bytes / GB).toFixed(0)} GB`);
    node.title = gpu.name || '';
    pills.push(node);
  }
  const memory = status.memory;
  if (memory?.total_bytes) {
    pills.push(pill('', `RAM ${(memory.used_bytes / GB).toFixed(1)} / ${(memory.total_bytes / GB).toFixed(0)} GB`));
  }
  box.replaceChildren(...pills);
}

async function tick() {
  clearTimeout(timer);
  if (document.hidden || !element.isConnected) return;
  const mine = ++asked;
  let status;
  try {
    status = await server.status(props.value?.engine ?? null);
  } catch {
    status = { state: 'unreachable', names: null };
  }
  if (mine !== asked) return;
  draw(status);
  const listed = status.names && status.names.join('\n');
  // Also where the page got no engines when it opened.
  if (listed && names !== null && (listed !== names || !props.value?.engine)) trigger('engines');
  names = listed ?? '';
  timer = setTimeout(tick, status.state === 'loading' ? WHILE_LOADING_MS : EVERY_MS);
}

document.addEventListener('visibilitychange', tick);
watch('value', tick);
tick();
