// What the page does without its server: the keyboard, the links that hold what was typed, and how a phone folds.
const studio = (() => {
  const narrow = matchMedia('(max-width: 720px)');
  const visible = (selector) => [...document.querySelectorAll(selector)].find((node) => node.offsetParent !== null);

  /** Presses the button that starts a run in the tab one sees. */
  function go() {
    const button = visible('button.go');
    if (button && !button.disabled) button.click();
  }

  /** Puts a link on the clipboard that holds what was typed, after its #, which no server is ever sent. */
  async function copyLink(query, texts, instruction) {
    const bytes = new TextEncoder().encode(JSON.stringify([query?.text ?? '', texts ?? '', instruction ?? '']));
    const words = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    const link = new URL(location.href);
    link.hash = words.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
    history.replaceState(null, '', link);
    await navigator.clipboard?.writeText(link.href);
    document.querySelector('#copy-link')?.classList.add('done');
    setTimeout(() => document.querySelector('#copy-link')?.classList.remove('done'), 1500);
  }

  /** What the address holds, as JSON, or nothing. */
  function linked() {
    try {
      const words = atob(location.hash.slice(1).replaceAll('-', '+').replaceAll('_', '/'));
      return new TextDecoder().decode(Uint8Array.from(words, (letter) => letter.charCodeAt(0)));
    } catch {
      return '';
    }
  }

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      // What is being typed reaches its component first.
      setTimeout(go, 60);
    }
  }, true);

  // On a phone the inputs fold once a run has begun, and unfold where one touches the bar above the results or a tab.
  let stopped = false;
  document.addEventListener('click', (event) => {
    if (event.target.closest('button.halt')) stopped = true;
    if (event.target.closest('button.go')) {
      stopped = false;
      document.body.classList.add('folded');
      if (narrow.matches) setTimeout(() => visible('.sheet, .versus')?.scrollIntoView({ block: 'start' }), 150);
    }
    if (event.target.closest('.unfold, [role=tab], .overflow-dropdown')) document.body.classList.remove('folded');
  }, true);

  return { go, copyLink, linked, stopping: () => stopped };
})();
