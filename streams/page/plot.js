// What every section of the page is made of: plots whose points are records, tables, and the record behind a point.
"use strict";

const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const number = (value, digits = 1) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: digits });
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1) + " %");
const time = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const day = (ms) => time(ms).slice(0, 10);
const plots = {};
const points = {}; // by plot: the record behind each point, null where there is none
const picked = {};
const drawn = {}; // by table: what it shows, so that it is made anew only when that changes

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: "Bearer " + token } : {};
}

function empty(id, isEmpty) {
  document.querySelector(`[data-for="${id}"]`).hidden = !isEmpty;
  at(id).hidden = isEmpty;
}

// `ids` are the records behind the points, `range` says from when until when, `mark` is a time with a line of its own.
function draw(id, data, series, { ids = [], bands = [], range, mark, days = false, height = 200, link } = {}) {
  empty(id, data[0].length < 2);
  points[id] = ids;
  if (data[0].length < 2) return;
  const box = at(id);
  box.dataset.mark = mark ?? "";
  if (range) box.dataset.range = range;
  if (plots[id]) {
    plots[id].setData(data);
    return;
  }
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const written = days ? (s) => day(1000 * s).slice(5) : (s) => time(1000 * s).slice(11, 16);
  plots[id] = new uPlot({
    width: box.clientWidth || 500, height, bands,
    series: [{ value: (_, s) => (s === null || s === undefined ? "–" : time(1000 * s)) }, ...series],
    axes: [{ ...axis, values: (_, marks) => marks.map(written) }, { ...axis, size: 60, space: 22 }],
    scales: range ? { x: { range: () => box.dataset.range.split(",").map(Number) } } : {},
    cursor: link ? { sync: { key: link } } : {}, hooks: { draw: [(plot) => drawMark(plot, Number(box.dataset.mark))] },
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
  }, data, box);
}

function drawMark(plot, ms) {
  if (!ms) return;
  const x = plot.valToPos(ms / 1000, "x", true), { top, height } = plot.bbox;
  plot.ctx.save();
  plot.ctx.strokeStyle = colour("--bad");
  plot.ctx.lineWidth = 2;
  plot.ctx.setLineDash([]);
  plot.ctx.beginPath();
  plot.ctx.moveTo(x, top);
  plot.ctx.lineTo(x, top + height);
  plot.ctx.stroke();
  plot.ctx.restore();
}

const hidden = { stroke: "transparent", spanGaps: true, points: { show: false } };
const dashed = (label, stroke) => ({ label, stroke: colour(stroke), dash: [4, 4], spanGaps: true, points: { show: false } });

// A cell is text, or an object: `open` makes its text a button that shows a record, `lift` draws an interval.
function cellOf(cell) {
  const made = element("td");
  if (typeof cell !== "object") made.textContent = cell;
  else if (cell.lift) made.append(interval(cell));
  else {
    const button = element("button", cell.text, { type: "button" });
    button.addEventListener("click", () => open(cell.open));
    made.append(button);
  }
  return made;
}

function interval({ lift, scale, text }) {
  const box = element("div", undefined, { class: "lift", role: "img", "aria-label": text, title: text });
  const place = (value) => `${(50 * (scale + value)) / scale}%`;
  const zero = element("i"), range = element("span"), dot = element("b");
  const [value, lower, upper] = lift;
  zero.style.left = "50%";
  range.style.left = place(lower);
  range.style.width = `${(50 * (upper - lower)) / scale}%`;
  dot.style.left = place(value);
  box.append(zero, range, dot);
  return box;
}

function table(id, names, rows) {
  empty(id, rows.length === 0);
  const shown = JSON.stringify(rows);
  if (drawn[id] === shown) return;
  drawn[id] = shown;
  const head = element("tr");
  head.append(...names.map((name) => element("th", name, { scope: "col" })));
  at(id).replaceChildren(head, ...rows.map((cells) => {
    const made = element("tr");
    made.append(...cells.map(cellOf));
    return made;
  }));
}

const signed = (value) => (value >= 0 ? "+" : "") + number(value, 2);

async function open(id) {
  const answer = await fetch("/api/v3/live/record?id=" + encodeURIComponent(id), { headers: headers() });
  const found = await answer.json();
  const facts = answer.ok
    ? { "id, the same on every replay": found.id, origin: found.origin, place: found.place, key: found.key,
      "record it": found.record, "replay it": found.replay }
    : { "not shown": found.detail };
  at("record-facts").replaceChildren(...Object.entries(facts).flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  at("record-value").textContent = answer.ok ? JSON.stringify(found.value, null, 1) : "";
  if (!at("record").open) at("record").showModal();
}

// The points of a plot that have a record, by the keyboard and by a click.
function pick(id, step) {
  const plot = plots[id], places = (points[id] ?? []).flatMap((record, k) => (record ? [k] : []));
  if (!plot || !places.length) return;
  const here = places.indexOf(picked[id]);
  picked[id] = places[here < 0 ? places.length - 1 : Math.min(places.length - 1, Math.max(0, here + step))];
  const values = plot.data.slice(1).map((column) => column[picked[id]]);
  const value = id === "forecast" ? values[1] : values.find((one) => one !== null && one !== undefined);
  plot.setCursor({ left: plot.valToPos(plot.data[0][picked[id]], "x"), top: plot.valToPos(value ?? 0, "y") });
}
