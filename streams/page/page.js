// The live page: one document a second from the worker, drawn as it is. No state but the chosen link and the token.
"use strict";

const at = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const number = (value, digits = 1) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: digits });
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(1) + " %");
const time = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const plots = {};
let chosen = "";
let current = null;
let picked = -1;

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

// EventSource cannot send a token, so the stream is read by hand: lines of `data: {...}`.
async function listen() {
  for (;;) {
    try {
      const answer = await fetch("/api/v3/live?link=" + encodeURIComponent(chosen), { headers: headers(), signal: renew() });
      at("token-form").hidden = answer.status !== 401;
      if (answer.status === 401) {
        at("link-state").textContent = "this worker asks for its token";
        return;
      }
      if (!answer.ok) throw new Error((await answer.json()).detail);
      await read(answer.body.getReader());
      at("link-state").textContent = "the worker closed the stream; trying again";
    } catch (error) {
      if (error.name === "AbortError") continue;
      at("link-state").textContent = "no answer (" + error.message + "); trying again";
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

let control = new AbortController();
function renew() {
  control = new AbortController();
  return control.signal;
}

async function read(reader) {
  const decoder = new TextDecoder();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += decoder.decode(value, { stream: true });
    const parts = waiting.split("\n\n");
    waiting = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) show(JSON.parse(part.slice(6)));
  }
}

function show(now) {
  current = now;
  at("link-state").textContent = "live, " + time(now.worker.time) + " UTC";
  showStatus(now);
  showLinks(now);
  showForecast(now);
  showSelector(now);
  showModels(now.models);
  showLanes("anomalies", now.system_anomaly, (a) => a.anomaly_type, (a) => a.severity + " on " + a.node_id + ", " + a.status,
    (a) => (["critical", "high"].includes(a.severity) ? "high" : a.severity === "low" ? "low" : ""));
  showLanes("drift", now.drift_alert, (d) => d.model + " " + d.feature, (d) => d.statistic + " " + number(d.value, 4),
    (d) => (d.level === "alert" ? "high" : ""));
  showTables(now);
  document.documentElement.dataset.shown = now.worker.time;
}

function showStatus(now) {
  const w = now.worker, m = now.models;
  const fallbacks = ["not_ready", "low_confidence", "model_error"].map((why) => m["selector_fallback_" + why] || 0);
  const newest = {};
  for (const one of now.model_announcement) if (one.stage === "champion") newest[one.model_name] ??= one.model_version;
  const versions = Object.entries(newest).map(([name, version]) => name + " " + version).join(", ");
  const facts = [
    ["worker", "Worker", w.ready ? "ready" : "not ready", w.ready ? "good" : "bad"],
    ["partitions", "Partitions", number(w.partitions, 0)],
    ["lag", "Lag, records", number(w.lag_records, 0), w.lag_records > 10000 ? "warn" : ""],
    ["lag-s", "Lag", number(w.lag_s) + " s", w.lag_s > 60 ? "warn" : ""],
    ["rate", "Events/s in", number(w.events_per_s)],
    ["events", "Events in", number(w.events_in, 0)],
    ["p99", "Age at output, p99", w.age_p99_s === null ? "–" : "≤ " + number(w.age_p99_s, 3) + " s"],
    ["dead", "Dead letters", number(w.dead_letters, 0), w.dead_letters ? "warn" : ""],
    ["late", "Late", number(w.late, 0)],
    ["fallback", "Fallbacks", number(fallbacks.reduce((a, b) => a + b), 0), fallbacks[2] ? "bad" : ""],
    ["versions", "Champions", versions || "none announced"],
    ["skipped", "Left out of this page", number(now.skipped, 0)],
  ];
  at("status").replaceChildren(...facts.map(([id, name, value, kind]) => {
    const box = element("div");
    box.append(element("dt", name), element("dd", value, { id: "s-" + id, class: kind || "" }));
    return box;
  }));
}

function showLinks(now) {
  const list = at("link");
  if (list.options.length !== now.links.length)
    list.replaceChildren(...now.links.map((link) => element("option", link, { value: link })));
  if (!chosen && now.link) chosen = now.link;
  if (document.activeElement !== list) list.value = now.link;
}

function empty(id, isEmpty) {
  document.querySelector(`[data-for="${id}"]`).hidden = !isEmpty;
  at(id).hidden = isEmpty;
}

function draw(id, data, series, bands = []) {
  empty(id, data[0].length < 2);
  if (data[0].length < 2) return;
  const box = at(id);
  if (plots[id]) {
    plots[id].setData(data);
    return;
  }
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  plots[id] = new uPlot({
    width: box.clientWidth || 500, height: box.closest("section").classList.contains("wide") ? 260 : 200,
    series: [{ value: (_, s) => (s === null || s === undefined ? "–" : time(1000 * s)) }, ...series], bands,
    axes: [{ ...axis, values: (_, marks) => marks.map((s) => time(1000 * s).slice(11, 16)) }, { ...axis, size: 60 }], tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
  }, data, box);
}

// Forecasts stand at their target times and samples at theirs, so the two are joined on one axis with gaps.
function showForecast(now) {
  const rows = new Map();
  const row = (ms) => rows.get(ms) ?? rows.set(ms, [null, null, null, null, null]).get(ms);
  for (const [ms, value] of now.actual) row(ms)[0] = value;
  for (const [ms, value, lower, upper, id] of now.forecast) row(ms).splice(1, 4, value, lower, upper, id);
  const times = [...rows.keys()].sort((a, b) => a - b);
  const column = (k) => times.map((ms) => rows.get(ms)[k]);
  const error = now.models.forecast_mae_throughput_mbps, bars = ["persistence", "moving_average"];
  const [bar, name] = bars.map((one) => [now.models[`forecast_${one}_mae_throughput_mbps`], one.replace("_", " ")]).sort((a, b) => a[0] - b[0])[0];
  at("forecast-note").textContent = error === undefined ? "" :
    `mean absolute error on this worker ${number(error, 2)} Mbps; of ${name} ${number(bar, 2)} Mbps`;
  plots.ids = column(4);
  draw("forecast", [times.map((ms) => ms / 1000), column(0), column(1), column(2), column(3)], [
    { label: "actual, Mbps", stroke: colour("--b"), spanGaps: true, points: { show: false } },
    { label: "forecast", stroke: colour("--a"), width: 2, spanGaps: true },
    { label: "90 % from", stroke: "transparent", spanGaps: true, points: { show: false } },
    { label: "to", stroke: "transparent", spanGaps: true, points: { show: false } },
  ], [{ series: [4, 3], fill: colour("--band") }]);
}

function showSelector(now) {
  const column = (k) => now.selector.map((point) => point[k]);
  const times = column(0).map((ms) => ms / 1000);
  const lines = (...names) => names.map(([label, stroke]) => ({ label, stroke: colour(stroke) }));
  draw("accuracy", [times, column(1), column(2), column(3)],
    lines(["published", "--a"], ["heuristic", "--b"], ["majority class", "--c"]));
  draw("regret", [times, column(4), column(5)], lines(["published", "--a"], ["heuristic", "--b"]));
}

function table(id, names, rows) {
  empty(id, rows.length === 0);
  const head = element("tr");
  head.append(...names.map((name) => element("th", name, { scope: "col" })));
  at(id).replaceChildren(head, ...rows.map((cells) => {
    const made = element("tr");
    made.append(...cells.map((cell) => element("td", cell)));
    return made;
  }));
}

function showModels(m) {
  const rows = [];
  if (m.selector_accuracy !== undefined) {
    rows.push(["selector accuracy", percent(m.selector_accuracy), "heuristic " + percent(m.selector_heuristic_accuracy)
      + ", majority " + percent(m.selector_majority_accuracy), number(m.selector_scored, 0)]);
    rows.push(["selector regret", percent(m.selector_regret), "heuristic " + percent(m.selector_heuristic_regret),
      number(m.selector_scored, 0)]);
  }
  for (const [target, unit] of [["throughput_mbps", "Mbps"], ["rtt_ms", "ms"], ["packet_loss", ""], ["jitter_ms", "ms"]]) {
    const error = m["forecast_mae_" + target];
    if (error === undefined) continue;
    rows.push([`forecast of ${target}, mean error`, number(error, 4) + " " + unit,
      "persistence " + number(m["forecast_persistence_mae_" + target], 4)
      + ", moving average " + number(m["forecast_moving_average_mae_" + target], 4), number(m.forecast_scored, 0)]);
    rows.push([`forecast of ${target}, inside 90 %`, percent(m["forecast_coverage_" + target]), "90.0 %", number(m.forecast_scored, 0)]);
  }
  table("models", ["what", "published", "beside it", "scored"], rows);
}

// One lane per kind, marks from left to right by time; each mark is a button that shows its record.
function showLanes(id, records, kindOf, textOf, classOf) {
  empty(id, records.length === 0);
  if (!records.length || at(id).dataset.newest === records[0].id) return;
  at(id).dataset.newest = records[0].id;
  const times = records.map((r) => r.timestamp);
  const first = Math.min(...times), span = Math.max(...times) - first || 1;
  const lanes = new Map();
  for (const record of records) {
    const kind = kindOf(record);
    if (!lanes.has(kind)) lanes.set(kind, []);
    lanes.get(kind).push(record);
  }
  const made = [...lanes].sort().map(([kind, found]) => {
    const lane = element("div", undefined, { class: "lane" });
    const track = element("div", undefined, { class: "track" });
    for (const record of found.reverse()) {
      const text = `${kind}: ${textOf(record)}, ${time(record.timestamp)}`;
      const mark = element("button", undefined, { class: classOf(record), title: text, "aria-label": text, type: "button" });
      mark.style.left = `calc(${(100 * (record.timestamp - first)) / span}% - ${(0.6 * (record.timestamp - first)) / span}rem)`;
      mark.addEventListener("click", () => open(record.id));
      track.append(mark);
    }
    lane.append(element("span", `${kind} (${found.length})`), track);
    return lane;
  });
  const axis = element("div", undefined, { class: "axis" });
  axis.append(element("span", time(first)), element("span", time(first + span)));
  at(id).replaceChildren(...made, axis);
}

function showTables(now) {
  const results = {};
  for (const result of now.experiment_result) results[result.experiment_id] ??= result;
  const states = {};
  for (const state of now.experiment_state) states[state.experiment_id] ??= state;
  table("experiments", ["experiment", "status", "ramp", "primary metric", "decision"], Object.values(states).map((s) => {
    const found = results[s.experiment_id];
    return [s.experiment_id, s.status, s.ramp_pct + " %", s.primary_metric, found ? found.decision + ": " + found.reason : "no look yet"];
  }));
  const plans = {};
  for (const plan of now.capacity_plan) plans[plan.scope] ??= plan;
  table("capacity", ["scope", "resource", "now", "crosses", "do"], Object.values(plans).flatMap((plan) =>
    Object.entries(plan.needs).map(([resource, need]) => [plan.scope, resource, number(need.current) + " " + need.unit,
      need.exceeds_at ? time(need.exceeds_at).slice(0, 10) : "not within " + plan.horizon_days + " days", need.recommended_action])));
  table("optimizer", ["scope", "when", "change", "expected", "confidence"], now.optimizer_recommendation.slice(0, 10).map((r) => [
    r.scope, time(r.timestamp), r.changes.map((c) => `${c.parameter} ${number(c.before, 3)} → ${number(c.after, 3)}`).join(", "),
    `${number(r.improvement_pct)} % (${number(r.improvement_lower_pct)} to ${number(r.improvement_upper_pct)})`, percent(r.confidence)]));
}

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

function pick(step) {
  const plot = plots.forecast;
  if (!plot) return;
  const places = plots.ids.flatMap((id, k) => (id ? [k] : []));
  if (!places.length) return;
  const here = places.indexOf(picked);
  picked = places[here < 0 ? places.length - 1 : Math.min(places.length - 1, Math.max(0, here + step))];
  plot.setCursor({ left: plot.valToPos(plot.data[0][picked], "x"), top: plot.valToPos(plot.data[2][picked], "y") });
}

at("forecast").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") pick(-1);
  else if (event.key === "ArrowRight") pick(1);
  else if (event.key === "Enter" && plots.ids?.[picked]) open(plots.ids[picked]);
  else return;
  event.preventDefault();
});
at("forecast").addEventListener("click", () => {
  const near = plots.forecast?.cursor.idx;
  if (near === null || near === undefined) return;
  const places = plots.ids.flatMap((id, k) => (id ? [k] : []));
  const best = places.sort((a, b) => Math.abs(a - near) - Math.abs(b - near))[0];
  if (best !== undefined) open(plots.ids[best]);
});
at("link").addEventListener("change", () => {
  chosen = at("link").value;
  control.abort();
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  listen();
});
function redraw() {
  for (const id of ["forecast", "accuracy", "regret"]) {
    plots[id]?.destroy();
    delete plots[id];
  }
  if (current) show(current);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 200); });
listen();
