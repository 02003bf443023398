"use strict";
// Draws the trace: a row for each CPU, slices in rows of their nesting, zoomed by wheel, pinch, keys and buttons.
(() => {
  const source = document.getElementById("trace-data");
  const canvas = document.getElementById("trace");
  if (!source || !canvas) { document.documentElement.dataset.ready = "no trace"; return; }
  const data = JSON.parse(source.textContent);
  const range = document.getElementById("trace-range");
  const detail = document.getElementById("trace-detail");
  const context = canvas.getContext("2d");
  const KINDS = ["thread", "chunk", "interrupt", "halt", "pool", "idle"];
  const HEIGHTS = [1, 0.78, 0.5, 0.78, 0.78, 1];
  const LABEL = 52, ROW = 34, GAP = 6, AXIS = 22;
  const whole = Math.max(1, data.until_ns - data.since_ns);
  const LEAST = Math.min(100, whole);
  let from = 0, span = whole, colours = {}, width = 0, pending = false;

  for (const track of data.cpus) {
    // Outer slices first, so that inner ones are drawn above them; of one depth, ordered by start.
    track.slices.sort((a, b) => a[3] - b[3] || a[0] - b[0]);
  }

  const time = (ns) => ns < 1e3 ? `${ns.toFixed(0)} ns` : ns < 1e6 ? `${(ns / 1e3).toFixed(2)} us`
    : ns < 1e9 ? `${(ns / 1e6).toFixed(3)} ms` : `${(ns / 1e9).toFixed(4)} s`;
  const x = (ns) => LABEL + (ns - from) / span * (width - LABEL);

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of [...KINDS, "switch", "ink", "soft", "line", "card"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  }

  function draw() {
    pending = false;
    const scale = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    const height = AXIS + data.cpus.length * (ROW + GAP);
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    axis(height);
    context.save();
    context.beginPath();
    context.rect(LABEL, 0, width - LABEL, height);
    context.clip();
    data.cpus.forEach((track, row) => drawTrack(track, AXIS + row * (ROW + GAP)));
    context.restore();
    context.fillStyle = colours.ink;
    data.cpus.forEach((track, row) => context.fillText(`cpu ${track.cpu}`, 4, AXIS + row * (ROW + GAP) + ROW / 2));
  }

  function axis(height) {
    const rough = span / Math.max(2, (width - LABEL) / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    context.strokeStyle = colours.line;
    context.fillStyle = colours.soft;
    for (let at = Math.ceil(from / step) * step; at <= from + span; at += step) {
      const left = x(at);
      context.beginPath();
      context.moveTo(left, AXIS - 4);
      context.lineTo(left, height);
      context.stroke();
      context.fillText(`+${time(at)}`, left + 3, AXIS / 2);
    }
  }

  function drawTrack(track, top) {
    // A pixel that is full already needs no further slice of the same depth and kind.
    const full = new Map();
    for (const [start, length, kind, depth, name] of track.slices) {
      if (start > from + span || start + length < from) continue;
      const left = Math.max(LABEL, x(start));
      const right = Math.min(width, x(start + length));
      const key = depth * 8 + kind;
      if (right - left < 1 && Math.floor(left) === full.get(key)) continue;
      full.set(key, Math.floor(left));
      const height = ROW * HEIGHTS[kind];
      context.fillStyle = colours[KINDS[kind]];
      context.fillRect(left, top + ROW - height, Math.max(right - left, 0.7), height);
      if (right - left > 44 && kind !== 5) {
        context.save();
        context.beginPath();
        context.rect(left, top, right - left, ROW);
        context.clip();
        context.fillStyle = kind === 3 ? colours.ink : colours.card;
        context.fillText(data.names[name], left + 4, depth === 0 ? top + 4 + ROW * 0.05 : top + ROW - height / 2 + 2);
        context.restore();
      }
    }
    context.fillStyle = colours.switch;
    let last = -1;
    for (const at of track.switches) {
      if (at < from || at > from + span) continue;
      const left = Math.round(x(at));
      if (left !== last) context.fillRect(left, top, 1, 6);
      last = left;
    }
  }

  function show(newFrom, newSpan) {
    span = Math.min(whole, Math.max(LEAST, newSpan));
    from = Math.min(whole - span, Math.max(0, newFrom));
    range.textContent = `${time(data.since_ns + from)} to ${time(data.since_ns + from + span)}, ${time(span)} wide`;
    if (!pending) { pending = true; requestAnimationFrame(draw); }
  }
  const zoom = (factor, part = 0.5) => show(from + span * part * (1 - factor), span * factor);
  const part = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left - LABEL) / (box.width - LABEL)));
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) show(from + span * event.deltaX / 800, span);
    else zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), part(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", () => show(0, whole));

  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, event); });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) { tell(event); return; }
    pointers.set(event.pointerId, event);
    const pixels = canvas.clientWidth - LABEL;
    if (pointers.size === 1) { show(from - (event.clientX - before.clientX) / pixels * span, span); return; }
    const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    const distance = (pointer) => Math.max(12, Math.abs(pointer.clientX - other.clientX));
    zoom(distance(before) / distance(event), (part(event) + part(other)) / 2);
  });
  const up = (event) => { tell(event); pointers.delete(event.pointerId); };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);

  // Names the innermost slice at the pointer.
  function tell(event) {
    const box = canvas.getBoundingClientRect();
    const track = data.cpus[Math.floor((event.clientY - box.top - AXIS) / (ROW + GAP))];
    if (!track || event.clientX - box.left < LABEL) { detail.textContent = " "; return; }
    const at = from + part(event) * span;
    const hits = track.slices.filter(([start, length]) => start <= at && at <= start + length);
    detail.textContent = hits.length === 0 ? `cpu ${track.cpu}: nothing was recorded here`
      : `cpu ${track.cpu}: ` + hits.map(([start, length, kind, , name]) =>
        `${data.names[name]} (${KINDS[kind]}, ${time(length)} from +${time(start)})`).join(" › ");
  }

  canvas.addEventListener("keydown", (event) => {
    const action = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": () => show(0, whole),
      ArrowLeft: () => show(from - span / 8, span), ArrowRight: () => show(from + span / 8, span) }[event.key];
    if (action) { event.preventDefault(); action(); }
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => ({ in: () => zoom(0.5), out: () => zoom(2), all: () => show(0, whole) })[button.dataset.zoom]());
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); show(from, span); });
  new ResizeObserver(() => show(from, span)).observe(canvas.parentElement);
  readColours();
  show(from, span);
  draw();
  document.documentElement.dataset.ready = "trace";
})();
