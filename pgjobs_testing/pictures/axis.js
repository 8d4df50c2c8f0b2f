// Instants to pixels and back: everything to one scale, long quiet gaps folded to a fixed width.
const FOLD = 44, PAD = 14, TAIL = 60;
const UNITS = [["d", 86400e6], ["h", 3600e6], ["m", 60e6]];
const STEPS = [];
for (let power = 0; power < 6; power++) for (const size of [1, 2, 5]) STEPS.push(size * 10 ** power);
for (const size of [1, 2, 5, 10, 15, 30]) STEPS.push(size * 1e6);
for (const size of [1, 2, 5, 10, 15, 30]) STEPS.push(size * 60e6);
for (const size of [1, 2, 3, 6, 12]) STEPS.push(size * 3600e6);
for (const size of [1, 2, 5, 7, 14, 28, 91, 182, 365, 730, 1825, 3650, 36500]) STEPS.push(size * 86400e6);

// A duration as scenarios write it: 1m30s, 2d, 1.5s.
function elapsed(micros) {
  let text = micros < 0 ? "-" : "", rest = Math.abs(micros);
  for (const [name, size] of UNITS) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount) text += amount + name;
  }
  if (rest || text === "" || text === "-") text += String(Math.round(rest) / 1e6) + "s";
  return text;
}

class Axis {
  constructor(sections) {
    this.folded = sections;
    this.fold(true);
    this.width = 1;
    this.scale = 0;
    this.left = 0;
  }
  fold(yes) {
    const all = this.folded;
    this.sections = yes ? all : [[all[0][0], all[all.length - 1][1]]];
    this.length = this.sections.reduce((sum, [begin, end]) => sum + end - begin, 0);
    this.fixed = this.sections.length * 2 * PAD + (this.sections.length - 1) * FOLD + TAIL;
  }
  get least() {
    return this.length ? Math.max(this.width - this.fixed, this.width / 3) / this.length : 0;
  }
  get total() { return this.fixed + this.length * this.scale; }
  fit() { this.scale = this.least; this.left = 0; }
  pan(pixels) { this.left = Math.max(0, Math.min(this.left + pixels, this.total - this.width)); }
  zoom(factor, at) {
    const instant = this.instant(at);
    this.scale = Math.max(this.least, Math.min(this.scale * factor, 50));
    this.left = 0;
    this.left = Math.max(0, Math.min(this.x(instant) - at, this.total - this.width));
  }
  // Pixels from the left edge of the view.
  x(micros) {
    let base = PAD - this.left, before = null;
    for (const [begin, end] of this.sections) {
      if (micros < begin) {
        if (before === null) return base;
        const from = base - 2 * PAD - FOLD;
        return from + (2 * PAD + FOLD) * (micros - before) / (begin - before);
      }
      if (micros <= end) return base + (micros - begin) * this.scale;
      base += (end - begin) * this.scale + 2 * PAD + FOLD;
      before = end;
    }
    return base - 2 * PAD - FOLD;
  }
  instant(x) {
    let base = PAD - this.left;
    for (let n = 0; n < this.sections.length; n++) {
      const [begin, end] = this.sections[n], wide = (end - begin) * this.scale;
      if (x <= base + wide + PAD + FOLD / 2 || n === this.sections.length - 1)
        return begin + Math.max(0, Math.min(wide, x - base)) / (this.scale || 1);
      base += wide + 2 * PAD + FOLD;
    }
  }
  ticks(apart) {
    const step = STEPS.find(size => size * this.scale >= apart) || STEPS[STEPS.length - 1];
    const [low, high] = [this.instant(-apart), this.instant(this.width + apart)], found = [];
    for (const [begin, end] of this.sections) {
      if (end < low || begin > high) continue;
      const first = Math.ceil(Math.max(begin, low) / step) * step;
      if (begin >= low && (first - begin) * this.scale >= apart || first > end) found.push(begin);
      for (let at = first; at <= Math.min(end, high); at += step) found.push(at);
    }
    return found;
  }
  breaks() {
    return this.sections.slice(1).map(([begin], n) =>
      [this.x(begin) - PAD - FOLD / 2, begin - this.sections[n][1]]);
  }
}
