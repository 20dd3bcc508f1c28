
"use strict";
// Gives life to report.html: charts zoom and show values, tables sort and filter, pictures grow, the colours change. Charts are
// drawn already (chart.cpp); zooming moves the view box of the inner graphic, and ticks are drawn again by the rule of chart.cpp.
(() => {
  const svgSpace = "http://www.w3.org/2000/svg";
  const inner = 1000;  // extent of the inner graphic
  const root = document.documentElement;
  const plots = JSON.parse(document.getElementById("data").textContent).plots;

  // format_number of report/rows.h.
  function number(value, digits = 4) {
    if (value === null || !Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const [mantissa, e] = value.toExponential(digits - 1).split("e");
    const exponent = Number(e), fixed = exponent >= -4 && exponent < 6;
    let text = fixed ? value.toFixed(Math.max(digits - 1 - exponent, 0)) : mantissa;
    if (text.includes(".")) text = text.replace(/\.?0+$/, "");
    return fixed ? text : text + "e" + exponent;
  }

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  function shape(name, attributes, text) {
    const made = document.createElementNS(svgSpace, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function button(text, label, act) {
    const made = element("button", { type: "button", "aria-label": label, title: label }, text);
    made.addEventListener("click", act);
    return made;
  }
  const between = (low, value, high) => Math.min(Math.max(value, low), high);

  // Values of the ticks between two coordinates, and what they say.
  function ticks(low, high, logarithmic, most) {
    const result = [];
    if (logarithmic && high - low >= 1) {
      const step = Math.ceil((high - low) / most), within = high - low < 3 && most >= 7 ? [1, 2, 5] : [1];
      for (let decade = Math.floor(low / step) * step; decade <= high; decade += step)
        for (const factor of within) {
          const value = factor * 10 ** decade, at = Math.log10(value);
          if (at >= low && at <= high) result.push([at, number(value)]);
        }
      return result;
    }
    if (logarithmic) [low, high] = [10 ** low, 10 ** high];
    let step = 10 ** Math.floor(Math.log10((high - low) / 3));
    for (const factor of [2, 2.5, 2]) if ((high - low) / step > most) step *= factor;
    const largest = Math.max(Math.abs(low), Math.abs(high));
    const digits = between(1, Math.floor(Math.log10(largest / step)) + 2, 12);
    for (let k = Math.ceil(low / step); k * step <= high; ++k)
      result.push([logarithmic ? Math.log10(k * step) : k * step, number(k * step, digits)]);
    return result;
  }

  // One axis: the whole range and the part in view, in coordinates (decimal logarithms where the axis has them).
  class Axis {
    constructor(range, logarithmic) {
      [this.low, this.high] = range.split(" ").map(Number);
      this.logarithmic = logarithmic;
      this.all();
    }
    all() {
      this.from = this.low;
      this.to = this.high;
    }
    coordinate(value) {
      return this.logarithmic ? Math.log10(value) : value;
    }
    // Never beyond the whole range, never thinner than a ten-thousandth of it.
    view(from, to) {
      const whole = this.high - this.low, extent = between(whole * 1e-4, to - from, whole);
      const middle = (from + to) / 2;
      this.from = between(this.low, middle - extent / 2, this.high - extent);
      this.to = this.from + extent;
    }
    share(coordinate) {
      return (coordinate - this.from) / (this.to - this.from);
    }
    at(share) {
      return this.from + share * (this.to - this.from);
    }
    place(coordinate) {
      return inner * (coordinate - this.low) / (this.high - this.low);
    }
  }

  class Chart {
    constructor(holder) {
      this.holder = holder;
      this.plot = plots[Number(holder.dataset.plot)];
      this.panel = holder.dataset.panel === undefined ? null : this.plot.panels[Number(holder.dataset.panel)];
      this.x = new Axis(holder.dataset.x, this.plot.log_x === true);
      this.y = new Axis(holder.dataset.y, this.plot.log_y === true);
      this.svg = holder.querySelector("svg");
      this.inner = holder.querySelector(".inner");
      this.grid = holder.querySelector(".grid");
      this.axis = holder.querySelector(".axis");
      this.labels = [holder.querySelector(".x-label"), holder.querySelector(".y-label")];
      this.marks = shape("g", {});
      this.svg.append(this.marks);
      this.tip = element("div", { class: "tip", role: "status" });
      holder.append(this.tip);
      this.hidden = new Set();
      this.cursor = null;
      if (this.panel === null) this.collect();
      this.svg.setAttribute("tabindex", "0");
      this.svg.setAttribute("role", "application");
      this.svg.setAttribute("aria-roledescription", "chart");
      this.svg.setAttribute("aria-label", this.svg.getAttribute("aria-label") +
        ". Arrow keys read values, plus and minus zoom, Shift with arrow keys moves, 0 shows all.");
      this.tools();
      this.listen();
      new ResizeObserver(() => this.lay()).observe(holder);
      this.lay();
    }

    // Points of curves that can be drawn, sorted by x; a curve that runs back is met point by point.
    collect() {
      this.series = this.plot.curves.map((curve, index) => {
        const points = [];
        for (let i = 0; i < curve.x.length; ++i) {
          const x = curve.x[i], y = curve.y[i];
          if (x === null || y === null || (this.x.logarithmic && x <= 0) || (this.y.logarithmic && y <= 0)) continue;
          points.push({ x, y, cx: this.x.coordinate(x), cy: this.y.coordinate(y), error: curve.error[i] ?? null, index });
        }
        return points;
      });
      this.ordered = this.series.every(points => points.every((p, i) => i === 0 || points[i - 1].cx <= p.cx));
    }

    tools() {
      const bar = element("div", { class: "tools" },
        button("+", "zoom in", () => this.zoom(0.5)), button("−", "zoom out", () => this.zoom(2)),
        button("all", "show all", () => this.reset()));
      this.holder.before(bar);
    }

    lay() {
      const width = this.holder.clientWidth;
      if (width < 120) return;  // hidden
      const small = width < 480, [left, right, top, bottom] = [small ? 52 : 72, 12, 10, this.plot.x_label ? 48 : 28];
      const w = width - left - right;
      let h = between(200, 0.45 * width, 420) - top - bottom;
      if (this.panel !== null) {
        h = w * between(0.4, (this.y.high - this.y.low) / (this.x.high - this.x.low), 2);
      } else if (this.plot.equal_axes) {
        h = w;
      }
      this.frame = { left, top, w, h, width, height: h + top + bottom };
      this.svg.setAttribute("viewBox", `0 0 ${width} ${this.frame.height}`);
      for (const [key, value] of [["x", left], ["y", top], ["width", w], ["height", h]]) this.inner.setAttribute(key, value);
      this.axis.setAttribute("d", `M${left} ${top}V${top + h}H${left + w}`);
      this.labels[0].setAttribute("x", left + w / 2);
      this.labels[0].setAttribute("y", this.frame.height - 8);
      this.labels[1].setAttribute("transform", `translate(${small ? 10 : 14} ${top + h / 2}) rotate(-90)`);
      this.draw();
    }

    draw() {
      const { x, y, frame } = this;
      const u = x.place(x.from), v = inner - y.place(y.to);
      this.inner.setAttribute("viewBox", `${u} ${v} ${x.place(x.to) - u} ${inner - y.place(y.from) - v}`);
      this.grid.replaceChildren();
      for (const [at, text] of ticks(x.from, x.to, x.logarithmic, frame.w < 400 ? 4 : 7)) {
        const px = this.px(at);
        this.grid.append(shape("path", { d: `M${px} ${frame.top}v${frame.h}` }),
          shape("text", { x: px, y: frame.top + frame.h + 18, class: "below" }, text));
      }
      for (const [at, text] of ticks(y.from, y.to, y.logarithmic, frame.h < 200 ? 4 : 7)) {
        const py = this.py(at);
        this.grid.append(shape("path", { d: `M${frame.left} ${py}h${frame.w}` }),
          shape("text", { x: frame.left - 8, y: py + 4, class: "beside" }, text));
      }
      this.point();
    }

    px(coordinate) {
      return this.frame.left + this.x.share(coordinate) * this.frame.w;
    }
    py(coordinate) {
      return this.frame.top + (1 - this.y.share(coordinate)) * this.frame.h;
    }
    // Of a pointer, in pixels of the chart; charts are laid out at their real size.
    place(event) {
      const box = this.svg.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    }
    shares([px, py]) {
      return [between(0, (px - this.frame.left) / this.frame.w, 1), between(0, 1 - (py - this.frame.top) / this.frame.h, 1)];
    }

    zoom(factor, shares) {
      if (!shares) shares = this.cursor ? [this.x.share(this.cursor[0]), this.y.share(this.cursor[1])] : [0.5, 0.5];
      for (const [axis, share] of [[this.x, shares[0]], [this.y, shares[1]]]) {
        const s = between(0, share, 1), at = axis.at(s), extent = factor * (axis.to - axis.from);
        axis.view(at - s * extent, at + (1 - s) * extent);
      }
      this.draw();
    }
    pan(dx, dy) {
      for (const [axis, share] of [[this.x, dx], [this.y, dy]]) {
        const by = share * (axis.to - axis.from);
        axis.view(axis.from + by, axis.to + by);
      }
      this.draw();
    }
    reset() {
      this.x.all();
      this.y.all();
      this.draw();
    }
    toggle(index) {
      const group = this.inner.querySelectorAll(".series")[index], hide = !this.hidden.has(index);
      group.classList.toggle("off", hide);
      if (hide) this.hidden.add(index); else this.hidden.delete(index);
      this.point();
      return !hide;
    }

    // What the pointer or the arrow keys are at: `cursor` in coordinates, null for nowhere.
    point() {
      this.marks.replaceChildren();
      this.tip.replaceChildren();
      if (this.cursor === null) return;
      if (this.panel === null) this.pointCurves(); else this.pointCell();
    }
    say(lines, px, py) {
      for (const [series, text] of lines) {
        const line = element("p", series === null ? {} : { class: `s${series % 12}` });
        if (series !== null) line.append(element("span", { class: "s" }));
        line.append(text);
        this.tip.append(line);
      }
      const { offsetWidth: width, offsetHeight: height } = this.tip;
      const left = px + 14 + width < this.frame.width ? px + 14 : Math.max(0, px - 14 - width);
      this.tip.style.transform = `translate(${left}px, ${between(0, py - height / 2, Math.max(0, this.frame.height - height))}px)`;
    }
    visible() {
      return this.series.filter((_, index) => !this.hidden.has(index));
    }
    inView(p) {
      return p.cx >= this.x.from && p.cx <= this.x.to && p.cy >= this.y.from && p.cy <= this.y.to;
    }
    pointCurves() {
      const [cx, cy] = this.cursor;
      const apart = p => this.ordered ? Math.abs(p.cx - cx) : Math.hypot(this.px(p.cx) - this.px(cx), this.py(p.cy) - this.py(cy));
      const closest = points => points.reduce((best, p) => best === null || apart(p) < apart(best) ? p : best, null);
      const candidates = this.visible().map(points => closest(points.filter(p => this.inView(p)))).filter(p => p !== null);
      const first = closest(candidates);
      if (first === null) return;
      const px = this.px(first.cx), { top, h } = this.frame;
      // Others at the same place on the x axis are read with it.
      const shown = this.ordered ? candidates.filter(p => Math.abs(this.px(p.cx) - px) < 6) : [first];
      if (this.ordered) this.marks.append(shape("path", { class: "cursor", d: `M${px} ${top}v${h}` }));
      const lines = [[null, `${this.plot.x_label || "x"} ${number(first.x, 6)}`]];
      for (const p of shown) {
        this.marks.append(shape("circle", { class: `at s${p.index % 12}`, cx: this.px(p.cx), cy: this.py(p.cy), r: 5 }));
        const error = p.error > 0 ? ` ± ${number(p.error, 2)}` : "";
        const away = p.x === first.x ? "" : ` (at ${number(p.x, 6)})`;
        const label = this.plot.curves.length > 1 ? this.plot.curves[p.index].label : this.plot.y_label;
        lines.push([p.index, `${label} ${number(p.y, 6)}${error}${away}`]);
      }
      this.say(lines, px, this.py(first.cy));
    }
    cells() {
      const { values } = this.panel;
      return values === null ? [50, 50] : [values.length, values[0].length];
    }
    pointCell() {
      const [cx, cy] = this.cursor, lines = [[null, `x ${number(cx)}, y ${number(cy)}`]];
      if (this.panel.values !== null) {
        const [rows, columns] = this.cells();
        const index = (axis, at, count) => between(0, Math.floor((at - axis.low) / (axis.high - axis.low) * count), count - 1);
        const row = index(this.y, cy, rows), column = index(this.x, cx, columns);
        const w = (this.x.high - this.x.low) / columns, h = (this.y.high - this.y.low) / rows;
        const left = this.px(this.x.low + column * w), right = this.px(this.x.low + (column + 1) * w);
        const top = this.py(this.y.low + (row + 1) * h), bottom = this.py(this.y.low + row * h);
        this.marks.append(shape("rect", { class: "cell", x: left - 1, y: top - 1, width: right - left + 2, height: bottom - top + 2 }));
        lines.push([null, `${this.plot.color_label} ${number(this.panel.values[row][column])}`]);
      }
      this.say(lines, this.px(cx), this.py(cy));
    }

    // The next point along x, or the next cell.
    step(dx, dy) {
      if (this.panel !== null) {
        const [rows, columns] = this.cells();
        if (this.cursor === null) this.cursor = [this.x.at(0.5), this.y.at(0.5)];
        else this.cursor = [between(this.x.from, this.cursor[0] + dx * (this.x.high - this.x.low) / columns, this.x.to),
          between(this.y.from, this.cursor[1] + dy * (this.y.high - this.y.low) / rows, this.y.to)];
        return this.point();
      }
      const points = this.visible().flat().filter(p => this.inView(p));
      if (points.length === 0) return;
      if (this.cursor === null) {
        const first = points.reduce((best, p) => p.cx < best.cx ? p : best);
        this.cursor = [first.cx, first.cy];
      } else if (dx !== 0) {
        const ahead = points.filter(p => dx * (p.cx - this.cursor[0]) > 0);
        if (ahead.length > 0) {
          const next = ahead.reduce((best, p) => dx * (p.cx - best.cx) < 0 ? p : best);
          this.cursor = [next.cx, next.cy];
        }
      }
      this.point();
    }
    listen() {
      const { svg } = this;
      let start = null, box = null;
      const drop = () => {
        if (box) box.remove();
        start = box = null;
      };
      svg.addEventListener("pointerdown", event => {
        if (event.pointerType === "touch" || event.button !== 0) return;
        start = this.place(event);
        svg.setPointerCapture(event.pointerId);
      });
      svg.addEventListener("pointermove", event => {
        const at = this.place(event), [sx, sy] = this.shares(at);
        if (start && Math.hypot(at[0] - start[0], at[1] - start[1]) > 5) {
          if (!box) svg.append(box = shape("rect", { class: "box" }));
          for (const [key, value] of [["x", Math.min(at[0], start[0])], ["y", Math.min(at[1], start[1])],
            ["width", Math.abs(at[0] - start[0])], ["height", Math.abs(at[1] - start[1])]]) box.setAttribute(key, value);
        }
        this.cursor = [this.x.at(sx), this.y.at(sy)];
        this.point();
      });
      svg.addEventListener("pointerup", event => {
        if (start && box) {
          const [a, b] = [this.shares(start), this.shares(this.place(event))];
          for (const [axis, i] of [[this.x, 0], [this.y, 1]]) {
            const ends = [axis.at(a[i]), axis.at(b[i])];
            // A thin box chooses along one axis only.
            if (Math.abs(a[i] - b[i]) > 0.02) axis.view(Math.min(...ends), Math.max(...ends));
          }
          this.draw();
        }
        drop();
      });
      svg.addEventListener("pointercancel", drop);
      svg.addEventListener("pointerleave", () => {
        this.cursor = null;
        this.point();
      });
      svg.addEventListener("blur", () => {
        this.cursor = null;
        this.point();
      });
      svg.addEventListener("dblclick", () => this.reset());
      svg.addEventListener("wheel", event => {
        if (!event.ctrlKey && !event.metaKey) return;  // the page scrolls
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.shares(this.place(event)));
      }, { passive: false });
      svg.addEventListener("keydown", event => {
        const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key in arrows) {
          const [dx, dy] = arrows[event.key];
          if (event.shiftKey) this.pan(dx / 4, dy / 4); else this.step(dx, dy);
        } else if (event.key === "+" || event.key === "=") {
          this.zoom(0.5);
        } else if (event.key === "-") {
          this.zoom(2);
        } else if (event.key === "0" || event.key === "Escape") {
          this.reset();
        } else {
          return;
        }
        event.preventDefault();
      });
      const keys = this.holder.parentElement.querySelectorAll(":scope > .keys .key");
      keys.forEach((key, index) => {
        key.disabled = false;
        key.setAttribute("aria-pressed", "true");
        key.title = "show or hide";
        key.addEventListener("click", () => key.setAttribute("aria-pressed", String(this.toggle(index))));
      });
    }
  }

  // Numbers before words; "0.33 ± 0.01" by its first part.
  function order(a, b) {
    const [x, y] = [parseFloat(a), parseFloat(b)];
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return Number.isNaN(x) ? a.localeCompare(b) : x - y;
  }
  function enliven(table) {
    const body = table.tBodies[0], heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
    heads.forEach((head, column) => {
      const text = head.textContent, sorter = element("button", { type: "button" }, text);
      head.replaceChildren(sorter);
      sorter.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows];
        rows.sort((a, b) => (up ? 1 : -1) * order(a.cells[column].textContent, b.cells[column].textContent));
        body.append(...rows);
      });
    });
    if (heads.length === 0 || body.rows.length <= 12) return;
    const filter = element("input", { type: "search", class: "filter", placeholder: "rows that contain …", "aria-label": "rows that contain" });
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      for (const row of body.rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    });
    table.parentElement.before(filter);
  }

  function grow(image) {
    const act = () => image.setAttribute("aria-expanded", String(image.parentElement.classList.toggle("large")));
    for (const [key, value] of [["tabindex", "0"], ["role", "button"], ["aria-expanded", "false"]]) image.setAttribute(key, value);
    image.addEventListener("click", act);
    image.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    });
  }

  function theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
    const other = () => now() === "dark" ? "light" : "dark";
    const made = element("button", { type: "button", class: "theme" });
    const name = () => made.textContent = other() === "dark" ? "Dark" : "Light";
    made.addEventListener("click", () => {
      root.dataset.theme = other();
      name();
    });
    dark.addEventListener("change", name);
    name();
    document.querySelector("header").append(made);
  }

  root.classList.add("live");
  theme();
  document.querySelectorAll(".chart").forEach(holder => new Chart(holder));
  document.querySelectorAll("table").forEach(enliven);
  document.querySelectorAll(".picture img").forEach(grow);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach(part => part.open = true);
  });
  addEventListener("afterprint", () => folded.forEach(part => part.open = false));
})();
