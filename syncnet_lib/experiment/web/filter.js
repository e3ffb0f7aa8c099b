/** What a threshold of distance would reject: live, with the clips that lose most. */
class Filter {
  constructor(element, choose, moved) {
    this.element = element;
    this.find = (name) => element.querySelector(`.${name}`);
    this.choose = choose;
    this.moved = moved;
    this.find('threshold').oninput = (event) => this.set(+event.target.value);
  }

  /** Take what the filter measured. */
  show(pairs) {
    this.find('filter').hidden = !pairs.distance;
    if (!pairs.distance) return;
    this.clips = pairs.clips;
    [this.clip, this.window] = [pairs.clip, pairs.window].map((view) => values(Int32Array, view));
    this.distance = values(Float32Array, pairs.distance);
    this.sorted = this.distance.slice().sort();
    [this.low, this.high] = [this.sorted[0], this.sorted[this.sorted.length - 1]];
    const slider = this.find('threshold');
    Object.assign(slider, { min: this.low, max: this.high, step: (this.high - this.low) / 500 });
    slider.value = pairs.threshold;
    this.set(+slider.value);
  }

  set(threshold) {
    this.threshold = threshold;
    this.find('limit').textContent = threshold.toFixed(3);
    const lost = this.clips.map((clip) => ({ ...clip, over: 0, all: 0, worst: -Infinity, window: 0 }));
    let rejected = 0;
    this.distance.forEach((distance, n) => {
      const row = lost[this.clip[n]];
      row.all++;
      if (distance > threshold) { row.over++; rejected++; }
      if (distance > row.worst) { row.worst = distance; row.window = this.window[n]; }
    });
    const emptied = lost.filter((row) => row.over > row.all / 2).length;
    const share = ((100 * rejected) / this.distance.length).toFixed(1);
    this.find('rejects').textContent =
      `${rejected} of ${this.distance.length} pairs are rejected, ${share} %; ${emptied} of ${lost.length} clips lose more than half.`;
    this.list(lost.filter((row) => row.over).sort((a, b) => b.over / b.all - a.over / a.all).slice(0, 24));
    this.draw();
    this.moved();
  }

  /** The windows of a clip that are over the threshold. */
  over(clip) {
    const number = (this.clips ?? []).findIndex((row) => row.clip === clip);
    const over = [];
    if (number >= 0) this.distance.forEach((distance, n) => { if (this.clip[n] === number && distance > this.threshold) over.push(this.window[n]); });
    return over;
  }

  list(rows) {
    this.find('rejected').replaceChildren(...rows.map((row) => {
      const button = document.createElement('button');
      button.className = 'row';
      button.dataset.clip = row.clip;
      const share = Math.round((100 * row.over) / row.all);
      const known = [row.verdict && `run: ${row.verdict}`, row.kind && `truly ${row.kind}`].filter(Boolean).join(', ');
      button.innerHTML = '<span class="name"></span><span class="known"></span><span class="bar"><i></i></span><span class="share"></span>';
      button.querySelector('.name').textContent = row.clip;
      button.querySelector('.known').textContent = known;
      button.querySelector('i').style.width = `${share}%`;
      button.querySelector('.share').textContent = `${share} %`;
      button.title = 'watch its farthest pair';
      button.onclick = () => this.choose(row.clip, row.window);
      return button;
    }));
    if (!rows.length) this.find('rejected').textContent = 'No pair is over the threshold.';
  }

  /** The histogram of distances, with what is rejected in another colour. */
  draw() {
    if (!this.distance || this.find('filter').hidden) return;
    const canvas = this.find('histogram');
    const context = cleared(canvas);
    const colours = palette(this.element);
    const bins = new Array(Math.max(20, Math.floor(canvas.clientWidth / 9))).fill(0);
    const span = this.high - this.low || 1;
    for (const distance of this.distance) bins[Math.min(Math.floor(((distance - this.low) / span) * bins.length), bins.length - 1)]++;
    const most = Math.max(...bins);
    const wide = canvas.clientWidth / bins.length;
    const tall = canvas.clientHeight - 2;
    const cut = ((this.threshold - this.low) / span) * canvas.clientWidth;
    const bars = (colour) => {
      context.fillStyle = colour;
      bins.forEach((count, n) => context.fillRect(n * wide + 0.5, tall - (count / most) * (tall - 6), wide - 1, (count / most) * (tall - 6)));
    };
    bars(colours.accent);
    context.save();
    context.beginPath();
    context.rect(cut, 0, canvas.clientWidth, canvas.clientHeight);
    context.clip();
    bars(colours.false);
    context.restore();
    context.fillStyle = colours.text;
    context.fillRect(cut - 1, 0, 2, tall + 2);
  }
}
