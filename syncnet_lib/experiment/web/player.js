/** The sound of a stretch, played from any moment and moved against the pictures by any number of frames. */
class Sound {
  constructor(samples, rate) {
    this.samples = samples;
    this.rate = rate;
  }

  /** Play from a moment of the pictures on, with the sound `delay` seconds later than it was recorded. */
  start(moment, delay) {
    this.stop();
    Sound.context ??= new AudioContext();
    const context = Sound.context;
    context.resume();
    if (!this.buffer) {
      this.buffer = context.createBuffer(1, Math.max(this.samples.length, 1), this.rate);
      this.buffer.copyToChannel(Float32Array.from(this.samples, (sample) => sample / 32768), 0);
    }
    this.node = context.createBufferSource();
    this.node.buffer = this.buffer;
    const gain = context.createGain();
    gain.gain.setValueAtTime(0, context.currentTime);
    gain.gain.linearRampToValueAtTime(1, context.currentTime + 0.01);  // a sound that starts at once clicks
    this.node.connect(gain).connect(context.destination);
    const from = moment - delay;
    this.begun = context.currentTime - moment;
    if (from < this.buffer.duration) this.node.start(context.currentTime + Math.max(-from, 0), Math.max(from, 0));
  }

  /** The moment of the pictures that is heard now: what the system still holds back is not heard yet. */
  get now() {
    return Sound.context.currentTime - this.begun - (Sound.context.outputLatency || 0);
  }

  stop() {
    this.node?.disconnect();
    this.node = null;
  }
}

const LANES = [['sound', 70], ['MFCC', 78], ['shift', 217], ['confidence', 112]];
const GUTTER = 42;
const GAP = 22;

/** Pictures, sound and what is measured of a stretch, which follow one play head. */
class Player {
  constructor(element) {
    this.element = element;
    this.find = (name) => element.querySelector(`.${name}`);
    this.still = this.find('timeline');
    this.moving = this.find('head');
    this.shift = 0;
    this.moment = 0;
    this.span = null;
    this.rejected = [];
    this.find('play').onclick = () => this.toggle();
    this.find('shift').oninput = (event) => this.move(+event.target.value);
    this.find('cure').onclick = () => this.move(this.scene.offset);
    this.find('asis').onclick = () => this.move(0);
    this.find('whole').onclick = () => { this.span = null; this.draw(); };
    const seek = (event) => this.seek(((event.offsetX - GUTTER) / this.width) * this.scene.frames / this.scene.fps);
    this.moving.onpointerdown = (event) => { this.moving.setPointerCapture(event.pointerId); seek(event); };
    this.moving.onpointermove = (event) => { if (event.buttons) seek(event); };
    element.querySelector('.player').onkeydown = (event) => this.key(event);
  }

  /** Show a stretch; the play head and the shift begin at 0. */
  async show(scene) {
    this.stop();
    Object.assign(this, { scene, shift: 0, moment: 0, span: null, ready: false });
    this.sound = new Sound(values(Int16Array, scene.sound), scene.rate);
    this.distances = values(Float32Array, scene.distances);
    this.speech = values(Uint8Array, scene.speech);
    this.windows = this.distances.length / scene.shifts;
    this.middle = (scene.shifts - 1) / 2;
    this.maps = { distances: this.mapOfDistances(), mfcc: this.mapOfFeatures() };
    this.find('shift').max = this.middle;
    this.find('shift').min = -this.middle;
    this.find('picture').hidden = !scene.pictures.length;
    const decode = (views) => Promise.all(views.map((view) => createImageBitmap(new Blob([view], { type: 'image/jpeg' }))));
    this.move(0);
    const [mouths, pictures] = await Promise.all([decode(scene.mouths), decode(scene.pictures)]);
    if (this.scene !== scene) return;  // another was chosen meanwhile
    Object.assign(this, { mouths, pictures, ready: true });
    this.draw();
  }

  /** Distances of the windows with the sound moved by so many frames: column i meets sound that is i - middle later. */
  column(shift) {
    return Array.from({ length: this.windows }, (_, n) => this.distances[n * this.scene.shifts + this.middle - shift]);
  }

  /** Confidence of single windows with the sound where it is, as `scoring.frame_confidence` has it for the best shift. */
  confidences() {
    const raw = this.column(this.shift).map((distance) => this.scene.level - distance);
    const half = (this.scene.smooth - 1) / 2;
    return raw.map((value, n) => (Number.isNaN(value) ? NaN : median(raw.slice(Math.max(n - half, 0), n + half + 1))));
  }

  mapOfDistances() {
    const known = this.distances.filter((value) => !Number.isNaN(value)).sort();
    const [low, high] = [known[Math.floor(known.length * 0.02)], known[Math.floor(known.length * 0.98)]];
    const { shifts } = this.scene;
    const half = 3;  // windows to each side: of a single one of 0.2 s hardly anything is seen
    return heatmap(this.windows, shifts, (window, column) => {
      let [sum, count] = [0, 0];
      for (let n = Math.max(window - half, 0); n <= Math.min(window + half, this.windows - 1); n++) {
        const value = this.distances[n * shifts + column];
        if (!Number.isNaN(value)) { sum += value; count++; }
      }
      return Number.isNaN(this.distances[window * shifts + column]) ? NaN : (sum / count - low) / (high - low);
    });
  }

  mapOfFeatures() {
    const { coefficients } = this.scene;
    const mfcc = values(Float32Array, this.scene.mfcc);
    const rows = mfcc.length / coefficients;
    const range = Array.from({ length: coefficients }, (_, n) => {
      const column = Array.from({ length: rows }, (_, row) => mfcc[row * coefficients + n]).sort((a, b) => a - b);
      return [column[Math.floor(rows * 0.02)], column[Math.floor(rows * 0.98)]];
    });
    return heatmap(rows, coefficients, (row, n) => {
      const at = coefficients - 1 - n;
      return (mfcc[row * coefficients + at] - range[at][0]) / (range[at][1] - range[at][0] || 1);
    });
  }

  get length() { return this.scene.frames / this.scene.fps; }
  get playing() { return this.request !== undefined; }
  /** The window in whose middle the play head is. */
  get window() { return Math.min(Math.max(this.frame - 2, 0), this.windows - 1); }
  get frame() { return Math.min(Math.floor(this.moment * this.scene.fps), this.scene.frames - 1); }

  toggle() { if (this.playing) this.stop(); else this.play(); }

  play() {
    if (!this.scene) return;
    const [first, last] = this.span ?? [0, this.length];
    if (this.moment >= last - 0.02 || this.moment < first) this.moment = first;
    this.sound.start(this.moment, this.shift / this.scene.fps);
    this.find('play').textContent = '❚❚ Pause';
    const step = () => {
      this.moment = Math.max(this.sound.now, first);
      if (this.moment >= last) { this.moment = first; this.sound.start(first, this.shift / this.scene.fps); }
      this.drawHead();
      this.request = requestAnimationFrame(step);
    };
    this.request = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.request);
    this.request = undefined;
    this.sound?.stop();
    this.find('play').textContent = '▶ Play';
  }

  seek(moment) {
    if (!this.scene) return;
    const playing = this.playing;
    this.stop();
    this.moment = Math.min(Math.max(moment, 0), this.length);
    if (this.span && (this.moment < this.span[0] || this.moment > this.span[1])) this.span = null;
    this.draw();
    if (playing) this.play();
  }

  /** Move the sound; what plays goes on, with the sound where it is now. */
  move(shift) {
    this.shift = Math.min(Math.max(Math.round(shift), -this.middle), this.middle);
    this.find('shift').value = this.shift;
    if (this.playing) { cancelAnimationFrame(this.request); this.request = undefined; this.play(); }
    this.draw();
  }

  /** Play a window again and again, with what is around it. */
  repeat(window) {
    const { fps } = this.scene;
    this.stop();
    this.span = [Math.max(window - 8, 0) / fps, Math.min(window + 5 + 8, this.scene.frames) / fps];
    this.moment = this.span[0];
    this.marked = window;
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.target.matches('input, select, button') && event.key !== ' ') return;
    if (event.key === ' ' && !event.target.matches('button')) this.toggle();
    else if (event.key in moves) this.seek((this.frame + moves[event.key] + 0.5) / this.scene.fps);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** All but the play head: after another stretch, shift, limit, size or theme. */
  draw() {
    if (!this.scene) return;
    const context = cleared(this.still);
    const colours = palette(this.element);
    const { fps, frames, shifts } = this.scene;
    this.width = this.still.clientWidth - GUTTER - 8;
    const x = (seconds) => GUTTER + (seconds * fps / frames) * this.width;
    const place = (n) => x((n + 2.5) / fps);
    const moved = this.shift / fps;
    let top = 0;
    const lane = {};
    for (const [name, height] of LANES) {
      lane[name] = [top + GAP, height];
      context.fillStyle = colours.panel;
      context.fillRect(GUTTER, top + GAP, this.width, height);
      top += GAP + height;
    }
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, this.width, top);
    context.clip();
    this.drawSound(context, colours, lane.sound, x, moved);
    context.drawImage(this.maps.mfcc, x(moved), lane.MFCC[0], x(this.length + moved) - x(moved), lane.MFCC[1]);
    const [above, high] = lane.shift;
    const rowOf = (shift) => above + ((this.middle - shift + 0.5) / shifts) * high;
    context.drawImage(this.maps.distances, place(-0.5), above, place(this.windows - 0.5) - place(-0.5), high);
    for (const [colour, width] of [['#0008', 4], ['#ffd166', 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(GUTTER - 5, rowOf(this.shift) - high / shifts / 2 - 1, this.width + 10, high / shifts + 2);
    }
    this.drawConfidence(context, colours, lane.confidence, place);
    context.restore();
    this.labels(context, colours, lane, x, rowOf);
    this.bottom = top;
    this.say();
    this.drawHead();
  }

  drawSound(context, colours, [top, height], x, moved) {
    const { samples, rate } = this.sound;
    const { fps } = this.scene;
    const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1);
    context.fillStyle = colours.accent;
    this.speech.forEach((speaks, n) => {
      context.globalAlpha = 0.14;
      if (speaks) context.fillRect(x(n / fps + moved), top, x(1 / fps) - x(0) + 0.5, height);
    });
    context.globalAlpha = 1;
    const step = samples.length / this.width;
    for (let pixel = 0; pixel < this.width; pixel++) {
      let most = 0;
      for (let n = Math.floor(pixel * step); n < (pixel + 1) * step; n++) most = Math.max(most, Math.abs(samples[n] ?? 0));
      const tall = Math.max(1, (most / loudest) * (height - 4));
      context.fillRect(x((pixel * step) / rate + moved), top + (height - tall) / 2, 1, tall);
    }
  }

  drawConfidence(context, colours, [top, height], place) {
    const found = this.confidences();
    const known = found.filter((value) => !Number.isNaN(value));
    const high = Math.max(...known, (this.scene.sure ?? 0) * 1.15, 0.05);
    const low = Math.min(...known, 0);
    const y = (value) => top + 4 + ((high - value) / (high - low)) * (height - 8);
    context.fillStyle = colours.false;
    context.globalAlpha = 0.25;
    for (const n of this.rejected) context.fillRect(place(n - 0.5), top, place(1) - place(0) + 0.5, height);
    context.globalAlpha = 1;
    context.lineWidth = 1;
    context.strokeStyle = colours.line;
    curve(context, [0, 0], (n) => (n ? this.width + GUTTER : GUTTER), y);
    if (this.scene.sure !== null) {
      context.setLineDash([4, 4]);
      context.strokeStyle = colours.soft;
      curve(context, [1, 1].map(() => this.scene.sure), (n) => (n ? this.width + GUTTER : GUTTER), y);
      context.setLineDash([]);
    }
    context.lineWidth = 2;
    context.strokeStyle = colours.accent;
    curve(context, found, place, y);
    this.scale = { y, high };
  }

  labels(context, colours, lane, x, rowOf) {
    const says = {
      sound: 'sound; shaded: speech',
      MFCC: 'MFCC, 13 coefficients',
      shift: 'distance by shift of the sound; dark: near',
      confidence: `confidence${this.scene.sure === null ? '' : '; dashed: sure'}${this.rejected.length ? '; red: rejected' : ''}`,
    };
    context.fillStyle = colours.soft;
    for (const [name, [top]] of Object.entries(lane)) context.fillText(says[name], GUTTER, top - 6, this.width);
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    for (const shift of [this.middle, 0, -this.middle]) context.fillText(signed(shift), GUTTER - 8, rowOf(shift));
    context.fillText(this.scale.high.toFixed(2), GUTTER - 8, this.scale.y(this.scale.high) + 4);
    context.fillText('0', GUTTER - 8, this.scale.y(0));
    context.textBaseline = 'alphabetic';
    context.textAlign = 'left';
  }

  /** The play head, the pictures and the numbers under it. */
  drawHead() {
    const context = cleared(this.moving);
    const colours = palette(this.element);
    const { fps, frames } = this.scene;
    const x = (seconds) => GUTTER + (seconds * fps / frames) * this.width;
    if (this.span) {
      context.strokeStyle = colours.amber;
      context.lineWidth = 2;
      context.strokeRect(x(this.span[0]), 1, x(this.span[1]) - x(this.span[0]), this.bottom - 2);
      context.fillStyle = colours.amber;
      context.fillRect(x(this.marked / fps), 0, x((this.marked + 5) / fps) - x(this.marked / fps), 5);
    }
    context.fillStyle = colours.false;
    context.fillRect(x(this.moment) - 1, GAP - 6, 2, this.bottom - GAP + 6);
    const distance = this.column(this.shift)[this.window];
    const confidence = this.scene.level - distance;
    this.find('time').textContent = `${(this.scene.start + this.moment).toFixed(2)} s`;
    this.find('near').textContent = Number.isNaN(distance) ? '–' : distance.toFixed(2);
    this.find('now').textContent = Number.isNaN(confidence) ? '–' : confidence.toFixed(2).replace('-', '−');
    if (!this.ready) return;
    this.paint(this.find('mouth'), this.mouths[this.frame]);
    if (this.pictures.length) this.paint(this.find('picture'), this.pictures[Math.min(this.frame, this.pictures.length - 1)]);
  }

  paint(canvas, image) {
    if (canvas.width !== image.width || canvas.height !== image.height) {
      [canvas.width, canvas.height] = [image.width, image.height];
    }
    canvas.getContext('2d').drawImage(image, 0, 0);
  }

  /** The verdict, and where the sound is, in words. */
  say() {
    const { offset, confidence, sure } = this.scene;
    const frames = `${Math.abs(offset)} frame${Math.abs(offset) === 1 ? '' : 's'}`;
    const where = offset
      ? `The sound is ${frames} (${Math.abs(offset) * 40} ms) ${offset > 0 ? 'ahead of' : 'behind'} the lips`
      : 'The sound fits the lips as it is';
    const how = sure === null ? 'this network knows no threshold' : confidence >= sure ? `sure from ${sure.toFixed(2)}` : `not sure, which takes ${sure.toFixed(2)}`;
    this.find('verdict').textContent = `${where}: confidence ${confidence.toFixed(2)}, ${how}.`;
    this.find('verdict').classList.toggle('unsure', sure === null || confidence < sure);
    this.find('shifted').textContent = this.shift
      ? `${signed(this.shift)} frames, ${Math.abs(this.shift) * 40} ms ${this.shift > 0 ? 'later' : 'earlier'}` : 'as recorded';
    this.find('whole').hidden = !this.span;
    this.find('cure').disabled = this.shift === offset;
    this.find('asis').disabled = this.shift === 0;
  }
}
