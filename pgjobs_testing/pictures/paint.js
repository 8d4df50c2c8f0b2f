// One picture on a canvas: only what is in view, and nothing twice into the same pixel.
const ROW = 22, TIGHT = 15, CHART = 64, BAND = 16, LINE = 15, SPACE = 8, HEAD = 46;
const SANS = getComputedStyle(document.body).fontFamily;
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// Heights of everything, once: they do not change with the zoom.
function placed(data) {
  let y = HEAD + SPACE;
  const strips = data.strips.map(strip => {
    const at = { strip, top: y, head: false };
    y += stripHeight(strip);
    return at;
  });
  const lanes = [], heads = [];
  for (const group of data.groups) {
    y += SPACE;
    heads.push({ strip: group.strip, top: y, head: true, jobs: group.jobs });
    y += stripHeight(group.strip);
    for (const lane of group.lanes) {
      const height = Math.max(ROW, lane.chart ? CHART : lane.rows * (lane.roomy ? ROW : TIGHT));
      lanes.push({ ...lane, group, top: y, height });
      y += height + SPACE;
    }
  }
  return { strips: [...strips, ...heads], lanes, height: y + 4 };
}
function stripHeight(strip) { return strip.tiers * BAND + (strip.marks.length ? 2 * LINE : 0) + SPACE; }

class Painter {
  constructor(canvas, data, axis, glyphs) {
    Object.assign(this, { canvas, data, axis, glyphs, layout: placed(data) });
    this.g = canvas.getContext("2d");
    this.texts = data.texts;
    this.job = new Map(data.jobs.map((job, n) => [job[0], n]));
    for (const lane of this.layout.lanes) if (lane.chart) lane.steps = steps(lane.spans);
    this.moves = moves(this.layout.lanes);
    this.dress();
  }
  // The colours and patterns of the present scheme.
  dress() {
    this.palette = {};
    for (const name of ["paper", "ink", "quiet", "line", "faint", "onbar", "dark", "gold", "goldfill", "alarm"])
      this.palette[name] = colour(name);
    this.inks = this.data.kinds.map(kind => colour(kind[0]));
    this.fills = this.data.kinds.map((kind, n) =>
      kind[2] ? pattern(this.g, kind[3], this.inks[n], this.palette.onbar) : this.inks[n]);
    this.shade = pattern(this.g, "hatch", null, this.palette.dark);
    this.pause = pattern(this.g, "pause", null, this.palette.dark);
  }
  resize(width, height) {
    const ratio = window.devicePixelRatio || 1;
    this.width = width; this.height = height; this.ratio = ratio;
    this.gutter = width < 640 ? 78 : 148;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = width + "px";
    this.canvas.style.height = height + "px";
    this.axis.width = width - this.gutter;
  }
  paint(state) {
    const { g, width, height, gutter, palette } = this;
    this.state = state;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.fillStyle = palette.paper;
    g.fillRect(0, 0, width, height);
    this.low = this.axis.instant(-20);
    this.high = this.axis.instant(this.axis.width + 20);
    g.save();
    g.beginPath();
    g.rect(0, HEAD, width, height - HEAD);
    g.clip();
    g.translate(0, -state.top);
    const shown = each => each.top + (each.height || 60) > state.top && each.top < state.top + height;
    const lanes = this.layout.lanes.filter(shown);
    this.inPlot(() => lanes.forEach(lane => this.ground(lane)));
    this.grid(state.top + HEAD, state.top + height);
    this.layout.strips.filter(shown).forEach(strip => this.strip(strip));
    for (const lane of lanes) {
      this.name(lane);
      this.inPlot(() => lane.chart ? this.chart(lane) : this.lane(lane));
    }
    this.inPlot(() => this.breaks(state.top + HEAD, state.top + height));
    this.inPlot(() => this.links(state));
    for (const lane of lanes) if (lane.roomy && !lane.chart) this.inPlot(() => this.signs(lane));
    g.restore();
    this.head();
  }
  inPlot(draw) {
    const { g } = this;
    g.save();
    g.beginPath();
    g.rect(this.gutter, 0, this.width - this.gutter, 1e7);
    g.clip();
    g.translate(this.gutter, 0);
    draw();
    g.restore();
  }
  ground(lane) {
    const { g } = this;
    g.fillStyle = this.palette.faint;
    g.fillRect(0, lane.top - 2, this.axis.width, lane.height + 4);
    for (const [bands, fill] of [[lane.group.paused, this.pause], [lane.dark, this.shade]])
      for (const [begin, end] of bands) {
        const x = Math.max(0, this.axis.x(begin));
        g.fillStyle = fill;
        g.fillRect(x, lane.top - 2, Math.min(this.axis.width, this.axis.x(end)) - x, lane.height + 4);
      }
  }
  grid(top, bottom) {
    const { g } = this;
    g.strokeStyle = this.palette.line;
    g.lineWidth = 1;
    g.beginPath();
    for (const at of this.axis.ticks(68)) {
      const x = Math.round(this.gutter + this.axis.x(at)) + .5;
      if (x >= this.gutter) { g.moveTo(x, top); g.lineTo(x, bottom); }
    }
    g.stroke();
  }
  breaks(top, bottom) {
    const { g } = this;
    for (const [x] of this.axis.breaks()) {
      if (x < -10 || x > this.axis.width + 10) continue;
      for (const [off, width, ink] of [[0, 5, "paper"], [-3, 1, "dark"], [3, 1, "dark"]]) {
        g.beginPath();
        for (let y = top - top % 12, n = 0; y < bottom + 12; y += 6, n++) g.lineTo(x + off + (n % 2 ? 4 : 0), y);
        g.lineWidth = width;
        g.strokeStyle = this.palette[ink];
        g.stroke();
      }
    }
  }
  head() {
    const { g } = this, taken = [];
    this.font(11);
    g.textAlign = "center";
    this.inPlot(() => {
      const starts = new Set(this.axis.sections.map(([begin]) => begin));
      const ticks = this.axis.ticks(68).sort((a, b) => starts.has(b) - starts.has(a) || a - b);
      for (const at of ticks) {
        const text = elapsed(at), half = g.measureText(text).width / 2;
        const x = Math.max(half + 2, this.axis.x(at));
        if (this.axis.x(at) < -2 || taken.some(([low, high]) => x - half < high + 8 && x + half > low - 8)) continue;
        taken.push([x - half, x + half]);
        g.fillStyle = this.palette.quiet;
        g.fillText(text, x, HEAD - 8);
      }
      for (const [x, gap] of this.axis.breaks()) {
        g.fillText(coarse(gap), x, 15);
        g.fillRect(x - 16, 20, 32, 1);
      }
    });
    g.fillStyle = this.palette.line;
    g.fillRect(0, HEAD - 1, this.width, 1);
    g.textAlign = "left";
  }
  font(size, weight = "") { this.g.font = `${weight} ${size}px ${SANS}`.trim(); }
  text(text, x, y, ink, halo = "paper") {
    const { g } = this;
    if (halo) {
      g.strokeStyle = this.palette[halo] || halo;
      g.lineWidth = 3;
      g.lineJoin = "round";
      g.strokeText(text, x, y);
    }
    g.fillStyle = this.palette[ink] || ink;
    g.fillText(text, x, y);
  }
  fitted(text, room) {
    const { g } = this;
    if (g.measureText(text).width <= room) return text;
    let kept = Math.floor(text.length * room / g.measureText(text).width);
    while (kept > 1 && g.measureText(text.slice(0, kept) + "…").width > room) kept--;
    return kept > 1 ? text.slice(0, kept) + "…" : "";
  }
  name(lane) {
    const { g, gutter } = this;
    this.font(11);
    g.textAlign = "right";
    const node = this.texts[lane.node] || (lane.chart ? "waiting" : "not run");
    this.text(this.fitted(node, gutter - 20), gutter - 10, lane.top + 15, "quiet", null);
    if (lane.chart) this.text(`peak ${lane.steps.peak.toLocaleString("en")}`, gutter - 10, lane.top + 30, "quiet", null);
    g.textAlign = "left";
  }
  strip({ strip, top, head, jobs }) {
    const { g, gutter } = this, name = this.texts[strip.name];
    if (head) {
      this.font(13, "600");
      const plain = !strip.bands.length && !strip.marks.length;
      const shown = this.fitted(name, plain ? this.width - 120 : gutter - 18);
      this.text(shown, 12, top + 12, "ink", null);
      const after = 20 + g.measureText(shown).width;
      this.font(11);
      if (plain) this.text(jobs.toLocaleString("en") + (jobs === 1 ? " job" : " jobs"), after, top + 12, "quiet");
    } else {
      this.font(11);
      g.textAlign = "right";
      this.text(this.fitted(name ? "node " + name : "everywhere", gutter - 20), gutter - 10, top + 12, "quiet", null);
      g.textAlign = "left";
    }
    this.inPlot(() => {
      this.font(11);
      for (const [kind, begin, end, tier] of strip.bands) this.band(kind, begin, end, top + 1 + tier * BAND);
      this.marks(strip, top + strip.tiers * BAND);
    });
  }
  band(kind, begin, end, y) {
    const { g, palette } = this;
    const x = Math.max(-8, this.axis.x(begin)), right = Math.min(this.axis.width + 8, this.axis.x(end));
    if (right < 0 || x > this.axis.width) return;
    const wide = Math.max(3, right - x);
    g.beginPath();
    g.roundRect(x + .5, y + .5, wide, BAND - 3, 3);
    g.fillStyle = kind === "leads" ? palette.goldfill : kind === "paused" ? this.pause : this.shade;
    g.fill();
    g.strokeStyle = kind === "leads" ? palette.gold : palette.dark;
    g.lineWidth = 1;
    g.stroke();
    const text = this.data.bands[kind];
    if (g.measureText(text).width + 10 < wide)
      this.text(text, Math.max(x, 0) + 6, y + 11, "ink", kind === "leads" ? null : "paper");
  }
  marks(strip, y) {
    const { g } = this, ends = [0, 0], last = new Map(), groups = [];
    for (const [at, kind, note] of strip.marks) {
      const x = this.axis.x(at), same = last.get(kind);
      if (same && x - same.right < 90) { same.count++; same.right = x; continue; }
      const group = { x, right: x, kind, note, count: 1 };
      last.set(kind, group);
      groups.push(group);
    }
    for (const { x, kind, note, count } of groups) {
      if (x < -150 || x > this.axis.width) continue;
      const name = this.texts[kind], detail = this.texts[note];
      const more = count > 1 ? ` ×${count}` : (name === "skew" || name === "scale") && detail ? ` ${detail}` : "";
      const text = name + more, line = ends[0] <= x - 6 ? 0 : 1;
      if (ends[line] > x - 6 && line) continue;
      ends[line] = x + 20 + g.measureText(text).width;
      this.glyph(this.glyphs.signs[name] || this.glyphs.diamond, x, y + 8 + line * LINE, this.palette.ink, 1.5);
      this.text(text, x + 9, y + 12 + line * LINE, "ink");
    }
  }
  glyph(path, x, y, ink, width = 1.6) {
    const { g } = this;
    g.save();
    g.translate(x, y);
    g.strokeStyle = ink;
    g.lineWidth = width;
    g.lineCap = g.lineJoin = "round";
    g.stroke(this.path(path));
    g.restore();
  }
  path(text) { return (this.paths ||= new Map()).get(text) || this.paths.set(text, new Path2D(text)).get(text); }
  middle(lane, row) { return lane.top + (row + .5) * (lane.roomy ? ROW : TIGHT); }
  dim(job) { return this.state.found && !this.state.found[this.job.get(job)]; }
  lane(lane) {
    const { g, data, low, high, axis } = this, { spans } = lane, last = [];
    const selected = this.state.selected, thick = lane.roomy ? 16 : 12, around = [];
    for (let n = 0; n < spans.length; n += 6) {
      const begin = spans[n + 2], end = begin + spans[n + 3];
      if (end < low || begin > high) continue;
      const kind = data.kinds[spans[n + 1]], row = spans[n + 4];
      const x = Math.max(-8, axis.x(begin)), right = Math.min(axis.width + 8, axis.x(end));
      const wide = Math.max(right - x, kind[2] || spans[n + 5] % 2 ? lane.roomy ? 4 : 1.5 : 0);
      const before = last[row];
      if (before && x - before.x < 1 && right - before.x < 1 && before.rank >= kind[5] && spans[n] !== selected) continue;
      last[row] = { x, rank: kind[5] };
      const y = this.middle(lane, row);
      g.globalAlpha = this.dim(spans[n]) ? .13 : 1;
      if (kind[2]) this.run(kind, spans[n + 1], x, y - thick / 2, wide, thick);
      else if (wide > .5) this.wait(kind, spans[n + 1], x, y + (lane.roomy ? 5.5 : 0), wide);
      if (!lane.roomy && kind[2] && wide > 40) this.inside(spans[n], spans[n + 1], x, y, wide);
      if (spans[n] === selected) around.push([x, y - thick / 2, x + wide]);
      g.globalAlpha = 1;
    }
    if (lane.roomy && around.length) {
      const [left, right] = [Math.min(...around.map(each => each[0])), Math.max(...around.map(each => each[2]))];
      this.outline(left - 2, around[0][1] - 1, right - left + 4, thick + 2);
    } else for (const [x, y, right] of around) this.outline(x, y, right - x, thick);
  }
  run(kind, number, x, y, wide, thick) {
    const { g } = this;
    g.fillStyle = kind[3] === "hollow" ? this.palette.paper : wide < 3 ? this.inks[number] : this.fills[number];
    if (wide <= 5) return g.fillRect(x, y, wide, thick);
    g.beginPath();
    g.roundRect(x, y, wide, thick, 2.5);
    g.fill();
    if (kind[3] !== "hollow") return;
    g.strokeStyle = this.inks[number];
    g.lineWidth = 1.4;
    g.setLineDash([4, 2]);
    g.stroke();
    g.setLineDash([]);
  }
  wait(kind, number, x, y, wide) {
    const { g } = this;
    g.strokeStyle = this.inks[number];
    g.lineWidth = 2.5;
    g.lineCap = kind[3] === "dots" ? "round" : "butt";
    g.setLineDash(kind[3] === "dots" ? [.1, 4.5] : kind[3] === "dashes" ? [6, 3] : []);
    g.beginPath();
    g.moveTo(x, y);
    g.lineTo(x + wide, y);
    g.stroke();
    g.setLineDash([]);
  }
  // Lines of jobs that went on on another node.
  links(state) {
    const { g, axis } = this, low = state.top, high = state.top + this.height;
    g.strokeStyle = this.palette.quiet;
    g.lineWidth = 1.2;
    g.setLineDash([2, 3]);
    for (const { job, from, to, left, at } of this.moves) {
      const [above, below] = [this.middle(...from), this.middle(...to)];
      if (at < this.low || left > this.high || Math.max(above, below) < low || Math.min(above, below) > high || this.dim(job)) continue;
      const [x, end] = [axis.x(left), axis.x(at)];
      g.beginPath();
      g.moveTo(x, above);
      g.bezierCurveTo(end, above, x, below, end, below);
      g.stroke();
    }
    g.setLineDash([]);
  }
  // A job's number and worker in a bar of a lane that is not roomy.
  inside(job, kind, x, y, wide) {
    if (this.dim(job)) return;
    const left = Math.max(x, 0), text = this.called(job);
    this.font(9.5, "600");
    const shown = this.fitted(text, Math.min(x + wide, this.axis.width) - left - 8);
    if (shown) this.text(shown, left + 4, y + 3.5, "onbar", this.inks[kind]);
  }
  called(job) {
    const worker = this.texts[this.data.jobs[this.job.get(job)][1]];
    return `#${job} ${worker.slice(worker.lastIndexOf(".") + 1)}`.trim().slice(0, 40);
  }
  outline(x, y, wide, thick) {
    const { g } = this;
    g.strokeStyle = this.palette.ink;
    g.lineWidth = 2;
    g.strokeRect(x - 1.5, y - 1.5, wide + 3, thick + 3);
  }
  // Glyphs, badges, insertions and names: what lies above the bars of a roomy lane.
  signs(lane) {
    const { g, axis, data } = this, rows = Array.from({ length: lane.rows }, () => []);
    for (let n = 0; n < lane.inserts.length; n += 2) {
      const x = axis.x(lane.inserts[n]), y = this.middle(lane, lane.inserts[n + 1]) - 11;
      g.fillStyle = this.palette.ink;
      g.fill(new Path2D(`M${x - 3} ${y}h6l-3 4z`));
    }
    for (let n = 0; n < lane.spans.length; n += 6) {
      const [job, kind, begin, span, row] = lane.spans.slice(n, n + 5), x = axis.x(begin), end = axis.x(begin + span);
      if (data.kinds[kind][2]) rows[row].push({ job, kind, x, end: Math.max(end, x + 4) });
      else rows[row].waits = [...(rows[row].waits || []), { job, x, end }];
    }
    for (const [job, at, row, mark] of lane.badges) rows[row].push({ job, mark, x: axis.x(at) - 6, end: axis.x(at) + 6 });
    rows.forEach((row, n) => this.row(row, this.middle(lane, n)));
  }
  row(row, y) {
    const { g, data } = this, jobs = new Map();
    row.sort((a, b) => a.x - b.x);
    row.forEach((each, n) => {
      const next = row[n + 1] ? row[n + 1].x : Infinity;
      g.globalAlpha = this.dim(each.job) ? .13 : 1;
      if (each.mark) {
        g.beginPath();
        g.arc(each.x + 6, y, 5.7, 0, 7);
        g.fillStyle = this.palette.paper;
        g.fill();
        g.strokeStyle = this.palette.ink;
        g.lineWidth = 1.2;
        g.stroke();
        this.glyph(this.glyphs.badges[each.mark], each.x + 6, y, this.palette.ink, 1.5);
      } else {
        const inside = each.end - each.x >= 18;
        const at = inside ? Math.min(each.end, this.axis.width) - 7.5 : each.end + 7.5;
        const blocked = row.some(other => other.mark && other.x < at + 7 && other.end > at - 7);
        if (!blocked && !this.dim(each.job) && (inside ? each.end < next + 1 : at + 7 < next)) {
          g.beginPath();
          g.arc(at, y, 6, 0, 7);
          g.fillStyle = this.inks[each.kind];
          g.fill();
          this.glyph(this.glyphs.outcomes[data.kinds[each.kind][4]], at, y, this.palette.onbar);
          if (!inside) each.end += 15; else each.glyph = true;
        }
      }
      jobs.set(each.job, [...(jobs.get(each.job) || []), n]);
      g.globalAlpha = 1;
    });
    for (const each of row.waits || []) if (!jobs.has(each.job)) jobs.set(each.job, []);
    for (const [job, own] of jobs) this.label(job, own, row, y);
  }
  label(job, own, row, y) {
    if (this.dim(job)) return;
    const { g, data } = this, text = this.called(job);
    this.font(11);
    const room = g.measureText(text).width;
    const put = (x, inside) => {
      if (inside === undefined) return this.text(text, x, y + 1.5, "ink");
      if (data.kinds[inside][3] === "hollow") return this.text(text, x, y + 4, "ink");
      this.font(11, "600");
      this.text(text, x, y + 4, "onbar", this.inks[inside]);
    };
    for (const n of own) {
      const each = row[n], x = Math.max(each.x, 0), end = Math.min(each.end, this.axis.width, row[n + 1] ? row[n + 1].x : Infinity);
      if (!each.mark && end - x >= room + 12 + (each.glyph ? 14 : 0) + 6) return put(x + 5, each.kind);
    }
    const waits = (row.waits || []).filter(each => each.job === job);
    for (const each of waits) {
      const blocked = row.filter(other => other.x < each.end && other.end > each.x);
      const x = Math.max(each.x, 0, ...blocked.filter(other => other.x <= each.x + 1).map(other => other.end)) + 5;
      const end = Math.min(each.end, ...blocked.filter(other => other.x > x).map(other => other.x));
      if (end - x >= room + 4) return put(x);
    }
    const last = Math.max(...own.map(n => row[n].end), ...waits.map(each => each.end));
    const next = Math.min(...[...row, ...(row.waits || [])].filter(each => each.job !== job && each.end > last).map(each => each.x));
    if (next - last >= room + 10 && last > -5) put(last + 5);
  }
  chart(lane) {
    const { g, axis } = this, { kinds, peak } = lane.steps, high = lane.height - 10, bottom = lane.top + lane.height;
    const wide = Math.ceil(axis.width), below = new Float64Array(wide);
    for (const [kind, times, counts] of kinds) {
      const tops = new Float64Array(wide);
      let from = upper(times, this.low) - 1;
      let column = from < 0 ? 0 : Math.max(0, Math.floor(axis.x(times[from]))), now = from < 0 ? 0 : counts[from];
      for (let n = from + 1; n <= times.length; n++) {
        const x = n < times.length ? Math.min(wide - 1, Math.max(0, Math.floor(axis.x(times[n])))) : wide - 1;
        for (let each = column; each <= x; each++) if (now > tops[each]) tops[each] = now;
        if (n === times.length || times[n] > this.high) break;
        now = counts[n];
        column = x;
        if (now > tops[x]) tops[x] = now;
      }
      g.beginPath();
      for (let x = 0; x < wide; x++) g.lineTo(x, bottom - high * (below[x] + tops[x]) / peak);
      for (let x = wide - 1; x >= 0; x--) g.lineTo(x, bottom - high * below[x] / peak);
      g.fillStyle = this.inks[kind];
      g.globalAlpha = .8;
      g.fill();
      g.globalAlpha = 1;
      for (let x = 0; x < wide; x++) below[x] += tops[x];
    }
    for (let n = 0; n < lane.spans.length; n += 6) if (lane.spans[n] === this.state.selected) {
      const x = Math.max(-8, axis.x(lane.spans[n + 2]));
      const right = Math.min(axis.width + 8, axis.x(lane.spans[n + 2] + lane.spans[n + 3]));
      this.outline(x, lane.top + 3, Math.max(2, right - x), 4);
    }
  }
}

// Where jobs go from the lane of one node to that of another: from when and where, to when and where.
function moves(lanes) {
  const stops = new Map(), found = [];
  for (const lane of lanes.filter(each => each.roomy && !each.chart))
    for (let n = 0; n < lane.spans.length; n += 6) {
      const own = stops.get(lane.spans[n]) || stops.set(lane.spans[n], []).get(lane.spans[n]);
      const begin = lane.spans[n + 2], end = begin + lane.spans[n + 3], place = [lane, lane.spans[n + 4]];
      own.push({ place, begin, end });
    }
  for (const [job, own] of stops) {
    own.sort((a, b) => a.begin - b.begin || a.end - b.end);
    own.slice(1).forEach((stop, n) => {
      const { place, end } = own[n];
      if (place[0] !== stop.place[0] || place[1] !== stop.place[1])
        found.push({ job, from: place, to: stop.place, left: end, at: stop.begin });
    });
  }
  return found;
}

// For each kind when the number of its spans changes, and to what; and the most of all at once.
function steps(spans) {
  const changes = new Map(), all = [];
  for (let n = 0; n < spans.length; n += 6) {
    const own = changes.get(spans[n + 1]) || changes.set(spans[n + 1], []).get(spans[n + 1]);
    for (const change of [[spans[n + 2], 1], [spans[n + 2] + spans[n + 3], -1]]) { own.push(change); all.push(change); }
  }
  const counted = list => {
    const times = [], counts = [];
    let now = 0, most = 0;
    for (const [at, step] of list.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      now += step;
      if (times[times.length - 1] === at) counts[counts.length - 1] = now; else { times.push(at); counts.push(now); }
    }
    for (const count of counts) most = Math.max(most, count);
    return { times, counts, most };
  };
  const kinds = [...changes].sort((a, b) => a[0] - b[0]).map(([kind, list]) => {
    const { times, counts } = counted(list);
    return [kind, times, counts];
  });
  return { kinds, peak: Math.max(1, counted(all).most) };
}
function upper(times, at) {
  let low = 0, high = times.length;
  while (low < high) { const middle = (low + high) >> 1; if (times[middle] <= at) low = middle + 1; else high = middle; }
  return low;
}
function coarse(micros) {
  for (const [size, smaller] of [[86400e6, 3600e6], [3600e6, 60e6], [60e6, 1e6]])
    if (micros >= size) return elapsed(Math.floor(micros / smaller) * smaller);
  return elapsed(micros);
}
const STROKES = {
  hatch: [6, "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", .4], cross: [6, "M-1 7L7 -1M-1 -1L7 7", .28],
  lines: [5, "M0 2.5H5", .3], bars: [6, "M3 0V6", .4], pause: [8, "M2 1V7M5 1V7", .28], dots: [5, "M2.5 2.5h.01", .4],
};
function pattern(g, name, ink, stroke) {
  if (!STROKES[name]) return ink;
  const [size, path, alpha] = STROKES[name], tile = document.createElement("canvas"), t = tile.getContext("2d");
  tile.width = tile.height = size * 2;
  t.scale(2, 2);
  if (ink) { t.fillStyle = ink; t.fillRect(0, 0, size, size); }
  t.strokeStyle = stroke;
  t.globalAlpha = alpha;
  t.lineWidth = 1.3;
  t.lineCap = "square";
  t.stroke(new Path2D(path));
  const made = g.createPattern(tile, "repeat");
  made.setTransform(new DOMMatrix().scale(.5));
  return made;
}
