const PAGE = `
  <span class="probe" hidden></span>
  <header>
    <label class="choice"><span>Clip</span><select class="chosen"></select></label>
    <button class="step before" aria-label="the clip before">‹</button>
    <button class="step after" aria-label="the next clip">›</button>
    <label class="with"><span>Network</span><select class="network"></select></label>
    <label class="drop" tabindex="0"><input type="file" accept="video/*,audio/*,.mkv,.ts,.mxf" class="file">Drop a video, or choose one</label>
  </header>
  <p class="says" role="status"></p>
  <p class="wrong" role="alert"></p>
  <section class="player" tabindex="0" aria-label="player: space plays, arrow keys step by a frame">
    <div class="seen">
      <canvas class="picture" width="16" height="9" role="img" aria-label="the video"></canvas>
      <div class="close">
        <canvas class="mouth" width="120" height="120" role="img" aria-label="the mouth crop, which the network sees"></canvas>
        <dl>
          <div><dt>time</dt><dd class="time"></dd></div>
          <div><dt>distance</dt><dd class="near"></dd></div>
          <div><dt>confidence</dt><dd class="now"></dd></div>
        </dl>
      </div>
      <p class="verdict"></p>
      <div class="buttons"><button class="play">▶ Play</button><button class="whole" hidden>Whole clip</button></div>
      <label class="mover"><span>Move the sound: <b class="shifted"></b></span><input type="range" class="shift" min="-15" max="15" step="1" value="0"></label>
      <div class="ends"><span>earlier</span><span>later</span></div>
      <div class="buttons"><button class="cure">Where the lips fit best</button><button class="asis">As recorded</button></div>
    </div>
    <div class="measured"><canvas class="timeline"></canvas><canvas class="head" role="img" aria-label="sound, MFCC, distance over shift and confidence over time"></canvas></div>
  </section>
  <section class="filter" hidden>
    <div>
      <h3>What would the filter reject?</h3>
      <p>A pair is 0.2 s of mouth with its own sound; one whose distance is over the threshold is rejected. Distances are
      those that the run's judges measured.</p>
      <canvas class="histogram" role="img" aria-label="histogram of the distances of all pairs"></canvas>
      <input type="range" class="threshold" aria-label="threshold of distance">
      <p>Threshold <b class="limit"></b>. <span class="rejects"></span></p>
    </div>
    <div><h3>Rejected: most first</h3><div class="rejected"></div></div>
  </section>`;
const PIECE = 1 << 20;  // bytes of a video in one message; a server takes no more than ten times that

/** Light or dark as the page around: JupyterLab says what it is, Voila's page and others are as the reader's system. */
function follow(element, redraw) {
  const night = matchMedia('(prefers-color-scheme: dark)');
  const inLab = 'jpThemeLight' in document.body.dataset && !('voila' in document.body.dataset);
  const set = () => {
    const dark = inLab ? document.body.dataset.jpThemeLight === 'false' : night.matches;
    element.dataset.theme = dark ? 'dark' : 'light';
    redraw();
  };
  night.addEventListener('change', set);
  const watcher = new MutationObserver(set);
  watcher.observe(document.body, { attributeFilter: ['data-jp-theme-light'] });
  set();
  return () => { night.removeEventListener('change', set); watcher.disconnect(); };
}

async function send(model, file) {
  for (let number = 0; number * PIECE < Math.max(file.size, 1); number++) {
    const part = await file.slice(number * PIECE, (number + 1) * PIECE).arrayBuffer();
    model.send({ name: file.name, number, last: (number + 1) * PIECE >= file.size }, undefined, [part]);
  }
}

function render({ model, el }) {
  const element = document.createElement('div');
  element.className = 'explorer';
  element.innerHTML = PAGE;
  el.append(element);
  const find = (name) => element.querySelector(`.${name}`);
  const player = new Player(element);
  let wanted = null;  // a window to show when its clip has come
  const pick = (key) => { model.set('chosen', key); model.save_changes(); };
  const filter = new Filter(
    element,
    (clip, window) => {
      const parts = model.get('choices').filter((choice) => choice.clip === clip && choice.group === 'clips');
      const part = parts.filter((choice) => choice.first <= window).pop();
      if (!part) return;
      wanted = { key: part.key, window: window - part.first };
      if (model.get('scene').key === part.key) arrive(); else pick(part.key);
      element.scrollIntoView({ behavior: 'smooth' });
    },
    () => { player.rejected = rejected(); player.draw(); },
  );

  /** The windows of the stretch that is shown which the filter's threshold rejects, by the distances of its judges. */
  function rejected() {
    const { clip, first, own } = model.get('scene');
    return own ? filter.over(clip).map((window) => window - first) : [];
  }

  function arrive() {
    const scene = model.get('scene');
    if (!scene.sound) return;
    if (player.scene !== scene) { player.rejected = rejected(); player.show(scene); }
    if (wanted?.key === scene.key) { player.repeat(Math.min(wanted.window, player.windows - 1)); wanted = null; }
    update();
  }

  function update() {
    const choices = model.get('choices');
    const options = (group) => choices.filter((choice) => choice.group === group).map((choice) => new Option(choice.label, choice.key));
    const groups = [['dropped', 'Dropped'], ['clips', 'Clips']].map(([group, label]) => {
      const under = Object.assign(document.createElement('optgroup'), { label });
      under.append(...options(group));
      return under;
    });
    find('chosen').replaceChildren(...groups.filter((group) => group.children.length));
    find('chosen').value = model.get('chosen');
    find('network').replaceChildren(...model.get('networks').map((name) => new Option(name, name)));
    find('network').value = model.get('network');
    find('says').textContent = model.get('says');
    find('wrong').textContent = model.get('wrong');
    element.classList.toggle('empty', !choices.length);
    const { key, network } = model.get('scene');
    const waits = choices.length && !model.get('wrong') && (key !== model.get('chosen') || network !== model.get('network'));
    element.classList.toggle('waits', Boolean(waits));
    element.dataset.shown = waits ? '' : key ?? '';
  }

  const step = (by) => {
    const keys = model.get('choices').map((choice) => choice.key);
    pick(keys[(keys.indexOf(model.get('chosen')) + by + keys.length) % keys.length]);
  };
  find('chosen').onchange = (event) => pick(event.target.value);
  find('before').onclick = () => step(-1);
  find('after').onclick = () => step(1);
  find('network').onchange = (event) => { model.set('network', event.target.value); model.save_changes(); };
  find('file').onchange = (event) => { for (const file of event.target.files) send(model, file); event.target.value = ''; };
  element.ondragover = (event) => { event.preventDefault(); element.classList.add('over'); };
  element.ondragleave = () => element.classList.remove('over');
  element.ondrop = (event) => {
    event.preventDefault();
    element.classList.remove('over');
    for (const file of event.dataTransfer.files) send(model, file);
  };
  for (const name of ['choices', 'chosen', 'networks', 'network', 'says', 'wrong']) model.on(`change:${name}`, update);
  model.on('change:scene', arrive);
  const resized = new ResizeObserver(() => { player.draw(); filter.draw(); });
  resized.observe(element);
  const unfollow = follow(element, () => { player.draw(); filter.draw(); });
  update();
  filter.show(model.get('pairs'));
  arrive();
  return () => { player.stop(); resized.disconnect(); unfollow(); };
}

export default { render };
