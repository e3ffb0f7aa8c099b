'use strict';
const drop = document.getElementById('drop'), files = document.getElementById('files');
const EVERY = 400;  // milliseconds between two questions how far a job is

function line(failure) {
  return `${failure.path}: ${failure.error}${failure.cure ? `; ${failure.cure}` : ''}`;
}

// A card a video: first its upload, then its job.
function add(file) {
  const card = document.getElementById('job').content.cloneNode(true).firstElementChild;
  const part = name => card.querySelector(name);
  const request = new XMLHttpRequest();
  let address = '', over = false;
  part('h2').textContent = file.name;
  part('progress').setAttribute('aria-label', file.name);
  part('.end').textContent = 'Cancel';
  part('.end').onclick = () => {
    request.abort();
    if (address) fetch(address, {method: 'DELETE'});
    over = true;
    card.remove();
  };
  document.getElementById('jobs').prepend(card);

  const show = (state, share) => {
    part('.state').textContent = share === undefined ? state : `${state} ${Math.round(100 * share)} %`;
    if (share !== undefined) part('progress').value = share;
  };
  const end = (kind, head, text) => {
    over = true;
    card.classList.add(kind);
    part('progress').hidden = true;
    part('.end').textContent = 'Remove';
    part('.verdict').hidden = false;
    const strong = document.createElement('strong');
    strong.textContent = head;
    part('.verdict').replaceChildren(strong, text);
  };
  const fail = (text, head = 'Cannot be measured') => { show('failed'); end('bad', head, text); };
  const unsent = text => fail(text, 'Not sent');

  const done = job => {
    const low = job.offset_interval_ms[0], high = job.offset_interval_ms[1];
    const sign = job.offset_ms < 0 ? '−' : '+';
    const ms = `${sign}${Math.abs(Math.round(job.offset_ms))} ±${Math.max(1, Math.round((high - low) / 2))} ms`;
    const held = job.compliance ? `${job.compliance} · ` : '';
    const moved = !job.verdict.startsWith('in sync');
    const kind = job.sureness !== 'sure' || job.compliance === 'cannot be told' ? 'unsure'
      : job.compliance === 'fail' || (!job.compliance && moved) ? 'bad' : 'good';
    show('done');
    end(kind, job.verdict, `${held}${job.answer ? ms : `(${ms})`} · ${job.covered}`);
    part('.more').hidden = part('details').hidden = false;
    part('.page').href = `${address}/report`;
    part('.json').href = `${address}/result`;
    const frame = part('iframe');
    const fit = () => {
      const body = frame.contentDocument && frame.contentDocument.body;
      if (body) frame.style.height = `${body.offsetHeight + 4}px`;
    };
    frame.onload = () => { fit(); addEventListener('resize', fit); };
    part('details').ontoggle = () => { if (part('details').open && !frame.src) frame.src = `${address}/report`; else fit(); };
    part('details').open = true;
  };

  const ask = async () => {
    if (over) return;
    try {
      const answer = await fetch(address), job = await answer.json();
      if (over) return;
      if (!answer.ok) return fail(line(job));
      if (job.state === 'done') return done(job);
      if (job.state === 'failed') return fail(job.error);
      show(job.state, job.state === 'waiting' ? undefined : job.progress);
    } catch {
      show('the service does not answer');
    }
    setTimeout(ask, EVERY);
  };

  const most = Number(drop.dataset.megabytes);
  if (file.size > most * 1e6) return unsent(`${file.name}: is larger than ${most} MB; send a shorter one`);
  show('uploading', 0);
  request.upload.onprogress = event => show('uploading', event.loaded / event.total);
  request.onerror = () => unsent(`${file.name}: the service does not answer; is it still running?`);
  request.onload = () => {
    let answer = {path: file.name, error: `HTTP ${request.status}`};
    try { answer = JSON.parse(request.responseText); } catch { /* a proxy's page */ }
    if (request.status !== 201) return unsent(line(answer));
    address = `jobs/${answer.key}`;
    show('waiting');
    part('progress').value = 0;
    ask();
  };
  const wanted = new URLSearchParams({name: file.name.slice(-200), standard: document.getElementById('standard').value});
  request.open('POST', `jobs?${wanted}`);
  request.setRequestHeader('Content-Type', 'application/octet-stream');
  request.send(file);
}

for (const kind of ['dragenter', 'dragover']) addEventListener(kind, event => {
  event.preventDefault();
  drop.classList.add('over');
});
addEventListener('dragleave', event => { if (!event.relatedTarget) drop.classList.remove('over'); });
addEventListener('drop', event => {
  event.preventDefault();
  drop.classList.remove('over');
  for (const file of event.dataTransfer.files) add(file);
});
files.onchange = () => {
  for (const file of files.files) add(file);
  files.value = '';
};
