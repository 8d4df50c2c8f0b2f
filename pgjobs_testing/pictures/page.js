// What one does with a timeline: zoom, pan, point, choose a job, search, and read the moments below.
const PER_PAGE = 200;
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

class Timeline {
  constructor(app, glyphs) {
    this.data = JSON.parse(app.querySelector("script").textContent);
    this.app = app;
    this.part = name => app.querySelector("." + name);
    this.view = this.part("view");
    this.axis = new Axis(this.data.sections);
    this.painter = new Painter(this.view.querySelector("canvas"), this.data, this.axis, glyphs);
    this.state = { top: 0, found: null, selected: 0 };
    this.page = 0;
    this.pointers = new Map();
    this.stories = new Map();
    const { moments } = this.data;
    for (let n = 0; n < moments.length; n += 6) {
      const own = this.stories.get(moments[n + 3]) || this.stories.set(moments[n + 3], []).get(moments[n + 3]);
      own.push(n);
    }
    this.listen();
    this.choices();
    this.legend(glyphs);
    this.resize();
    this.fit();
    this.search();
  }
  text(n) { return this.data.texts[n]; }
  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.painter.paint(this.state); });
  }
  resize() {
    const whole = this.painter.layout.height, width = this.view.clientWidth;
    const height = Math.min(whole, Math.max(260, window.innerHeight * .78 - 2));
    if (!width) return;
    const fitted = this.axis.scale <= this.axis.least * 1.0001;
    this.painter.resize(width, height);
    this.part("detail").style.maxHeight = Math.max(height + 2, 340) + "px";
    this.view.querySelector(".rest").style.height = Math.max(0, whole - height) + "px";
    if (fitted) this.axis.fit(); else this.axis.zoom(1, 0);
    this.draw();
  }
  fit() { this.axis.fit(); this.told(); this.draw(); }
  zoom(factor, at = this.axis.width / 2) { this.axis.zoom(factor, at); this.told(); this.draw(); }
  pan(pixels) { this.axis.pan(pixels); this.draw(); }
  told() { this.part("out").disabled = this.axis.scale <= this.axis.least * 1.0001; }
  fold() {
    const button = this.part("fold"), yes = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", yes);
    this.axis.fold(yes);
    this.fit();
  }

  listen() {
    const { view } = this;
    new ResizeObserver(() => this.resize()).observe(view);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.painter.dress(); this.draw(); });
    view.addEventListener("scroll", () => { this.state.top = view.scrollTop; this.draw(); }, { passive: true });
    view.addEventListener("wheel", event => this.wheel(event), { passive: false });
    view.addEventListener("keydown", event => this.key(event));
    view.addEventListener("pointerdown", event => this.down(event));
    view.addEventListener("pointermove", event => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, event => this.up(event));
    view.addEventListener("pointerleave", () => this.tip(null));
    view.addEventListener("dblclick", event => this.zoom(4, this.place(event).x));
    const acts = { in: () => this.zoom(2), out: () => this.zoom(.5), whole: () => this.fit(), fold: () => this.fold() };
    for (const [name, act] of Object.entries(acts)) this.part(name).addEventListener("click", act);
    this.part("fold").hidden = this.data.sections.length < 2;
    for (const each of this.app.querySelectorAll("input, select")) each.addEventListener("input", () => this.search());
    this.part("query").addEventListener("keydown", event => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
    });
    this.part("back").addEventListener("click", () => this.rows(this.page - 1));
    this.part("on").addEventListener("click", () => this.rows(this.page + 1));
  }
  wheel(event) {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? .05 : .004)), this.place(event).x);
    else if (event.shiftKey || Math.abs(sideways) > Math.abs(event.deltaY)) this.pan(sideways);
    else return;
    event.preventDefault();
  }
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.view) return;
    const acts = {
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), "0": () => this.fit(),
      ArrowLeft: () => this.pan(-80), ArrowRight: () => this.pan(80),
      Home: () => this.pan(-1e12), End: () => this.pan(1e12),
      n: () => this.step(1), p: () => this.step(-1), Escape: () => this.select(0),
      Enter: () => this.part("detail").focus(), "/": () => this.part("query").focus(),
    };
    if (!acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
  }
  place(event) {
    const box = this.view.getBoundingClientRect();
    return { x: event.clientX - box.left - this.view.clientLeft - this.painter.gutter, y: event.clientY - box.top + this.view.scrollTop };
  }
  down(event) {
    if (event.button) return;
    this.pointers.set(event.pointerId, event);
    this.from = this.moved = { x: event.clientX, y: event.clientY };
    this.dragged = false;
  }
  move(event) {
    if (!this.pointers.has(event.pointerId)) return this.hover(event);
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, event);
    const after = [...this.pointers.values()];
    if (after.length === 2) {
      const apart = pair => Math.max(8, Math.abs(pair[0].clientX - pair[1].clientX));
      const middle = { clientX: (after[0].clientX + after[1].clientX) / 2, clientY: 0 };
      this.zoom(apart(after) / apart(before), this.place(middle).x);
      this.dragged = true;
    } else if (this.dragged || Math.abs(event.clientX - this.from.x) > 4) {
      if (!this.dragged) this.view.setPointerCapture(event.pointerId);
      this.dragged = true;
      this.view.classList.add("panning");
      this.pan(this.moved.x - event.clientX);
      this.moved = { x: event.clientX };
    }
    this.tip(null);
  }
  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.view.classList.remove("panning");
    if (!this.dragged && event.type === "pointerup") this.select(this.under(event).job || 0);
  }

  // What lies under the pointer: its job, and the spans there of one row.
  under(event) {
    const { x, y } = this.place(event), { axis } = this;
    const lane = this.painter.layout.lanes.find(each => y >= each.top && y < each.top + each.height);
    if (!lane || x < 0 || y - this.view.scrollTop < HEAD) return {};
    if (lane.chart) return { lane };
    const row = Math.floor((y - lane.top) / (lane.roomy ? ROW : TIGHT)), spans = [];
    const [low, high] = [axis.instant(x - 5), axis.instant(x + 2)];
    for (let n = 0; n < lane.spans.length; n += 6)
      if (lane.spans[n + 4] === row && lane.spans[n + 2] <= high && lane.spans[n + 2] + lane.spans[n + 3] >= low) spans.push(n);
    const marks = lane.badges.filter(([, at, on]) => on === row && Math.abs(axis.x(at) - x) < 8);
    const first = spans.find(n => this.data.kinds[lane.spans[n + 1]][2]) ?? spans[0];
    return { lane, spans, marks, job: marks.length ? marks[0][0] : first === undefined ? 0 : lane.spans[first] };
  }
  hover(event) {
    const { lane, job, spans, marks } = this.under(event);
    this.view.classList.toggle("over", Boolean(job));
    if (!lane) return this.tip(null);
    const lines = [];
    if (lane.chart) {
      const at = this.axis.instant(this.place(event).x);
      lines.push(elapsed(Math.round(at)));
      for (const [kind, times, counts] of lane.steps.kinds) {
        const n = upper(times, at) - 1;
        lines.push(`${this.data.kinds[kind][1]}: ${(n < 0 ? 0 : counts[n]).toLocaleString("en")}`);
      }
    } else {
      if (!job) return this.tip(null);
      lines.push(this.title(job));
      for (const [, at, , mark] of marks) lines.push(`${this.data.marks[mark]} at ${elapsed(at)}`);
      const jobs = new Set(spans.map(n => lane.spans[n]));
      for (const n of spans.slice(0, 4)) if (lane.spans[n] === job) lines.push(this.span(lane.spans, n));
      if (jobs.size > 1) lines.push(`and ${jobs.size - 1} more at this pixel: zoom in`);
    }
    this.tip(lines.join("\n"), event);
  }
  tip(text, event) {
    const tip = document.querySelector(".tip");
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10) + "px";
  }
  span(spans, n) {
    const kind = this.data.kinds[spans[n + 1]], begin = spans[n + 2], lasting = spans[n + 3], rest = spans[n + 5];
    const attempt = kind[2] && rest > 1 ? `attempt ${rest >> 1}: ` : "";
    const when = rest % 2 ? `since ${elapsed(begin)}, and on at the end` : `${elapsed(begin)} to ${elapsed(begin + lasting)} (${elapsed(lasting)})`;
    return `${attempt}${kind[1]}, ${when}`;
  }
  title(job) { return `#${job} ${this.text(this.data.jobs[this.painter.job.get(job)][1])}`; }

  select(job) {
    this.state.selected = job;
    const detail = this.part("detail");
    detail.hidden = !job;
    detail.replaceChildren();
    if (job) {
      const close = element("button", { type: "button", textContent: "×", title: "Close (Esc)" });
      close.setAttribute("aria-label", "Close");
      close.addEventListener("click", () => { this.select(0); this.view.focus(); });
      const show = element("button", { type: "button", textContent: "Show", title: "Zoom to this job" });
      show.addEventListener("click", () => this.show(job));
      detail.append(element("header", {}, element("h3", { textContent: this.title(job) }), show, close), this.facts(job), this.story(job));
    }
    this.draw();
  }
  facts(job) {
    const list = element("dl"), own = this.data.jobs[this.painter.job.get(job)];
    const { moments } = this.data, at = this.stories.get(job) || [];
    const nodes = [...new Set(at.map(n => this.text(moments[n + 1])).filter(node => node !== "-"))];
    const facts = [["queue", this.text(own[2])], ["nodes", nodes.join(", ") || "none"], ["last", at.length ? this.text(moments[at[at.length - 1] + 2]) : ""]];
    for (const [name, value] of facts) list.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    return list;
  }
  story(job) {
    const list = element("ol"), { moments } = this.data;
    for (const n of this.stories.get(job) || []) {
      const node = this.text(moments[n + 1]), where = node === "-" ? "" : ` on ${node}`;
      const row = element("li", {}, element("span", { className: "instant", textContent: elapsed(moments[n]) }), " ",
        element("b", { textContent: this.text(moments[n + 2]) }), element("span", { className: "quiet", textContent: where }),
        element("div", { textContent: this.text(moments[n + 4]) }));
      if (this.text(moments[n + 5])) row.append(element("pre", { textContent: this.text(moments[n + 5]) }));
      list.append(row);
    }
    return list;
  }
  // Bring a job into view, in both directions.
  show(job) {
    let low = Infinity, high = -Infinity, at = null;
    for (const lane of this.painter.layout.lanes)
      for (let n = 0; n < lane.spans.length; n += 6) if (lane.spans[n] === job) {
        low = Math.min(low, lane.spans[n + 2]);
        high = Math.max(high, lane.spans[n + 2] + lane.spans[n + 3]);
        if (!at || !lane.chart) at = { lane, row: lane.spans[n + 4] };
      }
    if (!at) return;
    const { axis } = this;
    const wide = axis.x(high) - axis.x(low);
    axis.zoom(Math.max(1e-9, axis.width * .6 / Math.max(wide, 1e-6)), (axis.x(low) + axis.x(high)) / 2);
    this.pan((axis.x(low) + axis.x(high)) / 2 - axis.width / 2);
    this.told();
    const y = this.painter.middle(at.lane, at.row);
    if (y < this.view.scrollTop + HEAD + 20 || y > this.view.scrollTop + this.view.clientHeight - 20) this.view.scrollTop = y - this.view.clientHeight / 2;
    this.draw();
  }
  // The next job, or the one before, of those that are found.
  step(by) {
    const { jobs } = this.data, { found, selected } = this.state;
    let n = selected ? this.painter.job.get(selected) : by > 0 ? -1 : jobs.length;
    for (n += by; n >= 0 && n < jobs.length; n += by) if (!found || found[n]) break;
    if (n < 0 || n >= jobs.length) return;
    this.select(jobs[n][0]);
    const lane = this.painter.layout.lanes.find(each => !each.chart && each.spans.some((job, m) => m % 6 === 0 && job === jobs[n][0]));
    if (!lane) return;
    const m = lane.spans.findIndex((job, at) => at % 6 === 0 && job === jobs[n][0]);
    const at = this.axis.x(lane.spans[m + 2]);
    if (at < 0 || at > this.axis.width) this.pan(at - this.axis.width / 3);
    const y = this.painter.middle(lane, lane.spans[m + 4]);
    if (y < this.view.scrollTop + HEAD + 20 || y > this.view.scrollTop + this.view.clientHeight - 20) this.view.scrollTop = y - this.view.clientHeight / 2;
  }

  choices() {
    const { jobs } = this.data;
    for (const [name, column] of [["queue", 2], ["worker", 1]]) {
      const values = [...new Set(jobs.map(job => job[column]))].sort((a, b) => this.text(a) < this.text(b) ? -1 : 1);
      for (const value of values) this.part(name).append(element("option", { value: String(value), textContent: this.text(value) }));
      this.part(name).hidden = values.length < 2;
    }
    for (const kind of this.data.occurring)
      this.part("kind").append(element("option", { value: String(kind), textContent: this.data.kinds[kind][1] }));
    this.kinds = new Map();
    for (const { spans } of this.painter.layout.lanes)
      for (let n = 0; n < spans.length; n += 6) this.kinds.set(spans[n], (this.kinds.get(spans[n]) || 0) | 1 << spans[n + 1]);
  }
  search() {
    const { data } = this, words = this.part("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [queue, worker, kind] = ["queue", "worker", "kind"].map(name => this.part(name).value);
    const any = words.length || queue || worker || kind;
    this.state.found = any ? new Uint8Array(data.jobs.length) : null;
    let count = 0;
    const haystack = words.some(word => !/^#?\d+$/.test(word));
    if (any) data.jobs.forEach(([job, of, inside], n) => {
      if (queue && Number(queue) !== inside || worker && Number(worker) !== of) return;
      if (kind && !((this.kinds.get(job) || 0) & 1 << Number(kind))) return;
      const text = haystack ? this.words(job) : "";
      if (!words.every(word => /^#?\d+$/.test(word) ? Number(word.replace("#", "")) === job || haystack && text.includes(word) : text.includes(word))) return;
      this.state.found[n] = 1;
      count++;
    });
    const all = data.jobs.length.toLocaleString("en");
    this.part("found").textContent = any ? `${count.toLocaleString("en")} of ${all} jobs` : "";
    this.rows(0);
    this.draw();
  }
  // All that can be searched for of a job, put together once.
  words(job) {
    this.texts ||= new Map();
    if (!this.texts.has(job)) {
      const { moments } = this.data, own = this.data.jobs[this.painter.job.get(job)];
      const parts = [this.text(own[1]), this.text(own[2])];
      for (const n of this.stories.get(job) || []) for (const column of [1, 2, 4, 5]) parts.push(this.text(moments[n + column]));
      this.texts.set(job, parts.join(" ").toLowerCase());
    }
    return this.texts.get(job);
  }
  rows(page) {
    const { moments } = this.data, { found } = this.state, body = this.app.querySelector("tbody");
    const shown = [];
    for (let n = 0; n < moments.length; n += 6)
      if (!found || moments[n + 3] && found[this.painter.job.get(moments[n + 3])]) shown.push(n);
    const last = Math.max(0, Math.ceil(shown.length / PER_PAGE) - 1);
    this.page = Math.max(0, Math.min(page, last));
    const from = this.page * PER_PAGE, to = Math.min(shown.length, from + PER_PAGE);
    body.replaceChildren(...shown.slice(from, to).map(n => this.tableRow(n)));
    this.part("pages").hidden = !last;
    this.part("back").disabled = !this.page;
    this.part("on").disabled = this.page === last;
    this.part("which").textContent = `${(from + 1).toLocaleString("en")} to ${to.toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
  }
  tableRow(n) {
    const { moments } = this.data, job = moments[n + 3], cell = element("td");
    if (job) {
      const button = element("button", { type: "button", textContent: `#${job}`, disabled: !this.painter.job.has(job) });
      button.addEventListener("click", () => { this.select(job); this.show(job); this.view.scrollIntoView({ block: "nearest" }); });
      cell.append(button);
    }
    return element("tr", {}, element("td", { className: "instant", textContent: elapsed(moments[n]) }),
      element("td", { textContent: this.text(moments[n + 1]) }), element("td", { textContent: this.text(moments[n + 2]) }),
      cell, element("td", { className: "wide", textContent: this.text(moments[n + 4]) }));
  }
  legend(glyphs) {
    const list = this.part("legend"), ratio = 2;
    const sample = (wide, draw, name) => {
      const canvas = element("canvas", { width: wide * ratio, height: 16 * ratio });
      Object.assign(canvas.style, { width: wide + "px", height: "16px" });
      const own = Object.create(this.painter);
      own.g = canvas.getContext("2d");
      const paint = () => { own.g.setTransform(ratio, 0, 0, ratio, 0, 0); own.g.clearRect(0, 0, wide, 16); draw(own); };
      paint();
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(paint));
      list.append(element("li", {}, canvas, name));
    };
    for (const n of this.data.occurring) {
      const kind = this.data.kinds[n];
      if (!kind[2]) sample(28, own => own.wait(kind, n, 1, 8, 26), kind[1]);
      else sample(34, own => {
        own.run(kind, n, .5, 1, 33, 14);
        own.g.beginPath();
        own.g.arc(25.5, 8, 6, 0, 7);
        own.g.fillStyle = own.inks[n];
        own.g.fill();
        own.glyph(glyphs.outcomes[kind[4]], 25.5, 8, own.palette.onbar);
      }, kind[1]);
    }
    const marks = new Set(this.painter.layout.lanes.flatMap(lane => lane.badges.map(badge => badge[3])));
    if (this.painter.layout.lanes.some(lane => lane.inserts.length))
      sample(8, own => { own.g.fillStyle = own.palette.ink; own.g.fill(new Path2D("M1 6h6l-3 4z")); }, this.data.marks.insert);
    for (const mark of marks) sample(14, own => {
      own.g.beginPath();
      own.g.arc(7, 8, 5.7, 0, 7);
      own.g.strokeStyle = own.palette.ink;
      own.g.lineWidth = 1.2;
      own.g.stroke();
      own.glyph(glyphs.badges[mark], 7, 8, own.palette.ink, 1.5);
    }, this.data.marks[mark]);
  }
}

const GLYPHS = JSON.parse(document.getElementById("glyphs").textContent);
const seen = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    seen.unobserve(target);
    target.timeline = new Timeline(target, GLYPHS);
  }
}, { rootMargin: "600px" });
for (const app of document.querySelectorAll(".app")) seen.observe(app);
