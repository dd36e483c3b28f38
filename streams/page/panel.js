// The sections of the page, each from the document that the worker sends.
"use strict";

const GATES = { accuracy: 0.95, regret: 0.02 };
const HEAT_COLUMNS = 48, HEAT_ROWS = 30;
let resource = "";
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
  const range = [times[0] / 1000, times[times.length - 1] / 1000];
  draw("forecast", [times.map((ms) => ms / 1000), column(0), column(1), column(2), column(3)], [
    { label: "actual, Mbps", stroke: colour("--b"), spanGaps: true, points: { show: false } },
    { label: "forecast", stroke: colour("--a"), width: 2, spanGaps: true },
    { label: "90 % from", ...hidden }, { label: "to", ...hidden },
  ], { ids: column(4), bands: [{ series: [4, 3], fill: colour("--band") }], range, height: 260, link: "forecast" });
  showResidual(now, range);
}

// Each residual is a line from zero, in the colour of alarm where the sample left the interval.
function showResidual(now, range) {
  const found = [...now.residual].sort((a, b) => a[0] - b[0]);
  const side = (wanted) => found.map(([, miss, , covered]) => (covered === wanted ? miss : null));
  const mean = (k) => found.reduce((sum, one) => sum + Math.abs(one[k]), 0) / found.length;
  at("residual-note").textContent = found.length ? `mean of these ${found.length}: ${number(mean(1), 2)} Mbps off, persistence `
    + `${number(mean(2), 2)}; inside the interval ${percent(found.filter((one) => one[3]).length / found.length)}` : "";
  const bars = (label, stroke) => ({ label, stroke: colour(stroke), fill: colour(stroke), points: { show: false },
    paths: uPlot.paths.bars({ size: [0.6, 12] }), fillTo: 0 });
  draw("residual", [found.map((one) => one[0] / 1000), side(true), side(false)],
    [bars("actual less forecast, inside", "--a"), bars("outside the interval", "--bad")],
    { ids: found.map((one) => one[4]), range, height: 160, link: "forecast" });
}

function showSelector(now) {
  const column = (k) => now.selector.map((point) => point[k]);
  const times = column(0).map((ms) => ms / 1000), ids = column(6);
  const lines = (...names) => names.map(([label, stroke]) => ({ label, stroke: colour(stroke) }));
  draw("accuracy", [times, column(1), column(2), column(3), times.map(() => GATES.accuracy)],
    [...lines(["published", "--a"], ["heuristic", "--b"], ["majority class", "--c"]), dashed("gate", "--bad")], { ids });
  draw("regret", [times, column(4), column(5), times.map(() => GATES.regret)],
    [...lines(["published", "--a"], ["heuristic", "--b"]), dashed("goal", "--bad")], { ids });
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

const heat = (ratio) => `color-mix(in srgb, var(--bad) ${Math.round(25 + 75 * Math.min(1, Math.max(0, Math.log2(ratio) / 3)))}%, var(--panel))`;

// One row per model, feature and statistic; each cell is the worst alert of its time, as often its threshold.
function showHeat(alerts) {
  empty("drift", alerts.length === 0);
  const shown = alerts.length ? `${alerts.length} ${alerts[0].id}` : "";
  if (drawn.drift === shown) return;
  drawn.drift = shown;
  at("drift-note").textContent = "";
  if (!alerts.length) return;
  const times = alerts.map((one) => one.timestamp);
  const first = Math.min(...times), span = Math.max(3_600_000, Math.max(...times) - first + 1);
  const rows = new Map();
  for (const one of alerts) {
    const name = `${one.model} ${one.feature} (${one.statistic})`, column = Math.floor((HEAT_COLUMNS * (one.timestamp - first)) / span);
    const ratio = one.threshold > 0 ? one.value / one.threshold : 1;
    if (!rows.has(name)) rows.set(name, { name, cells: new Map(), worst: 0, count: 0 });
    const row = rows.get(name);
    row.worst = Math.max(row.worst, ratio);
    row.count += 1;
    if (!(row.cells.get(column)?.ratio >= ratio)) row.cells.set(column, { one, ratio });
  }
  const kept = [...rows.values()].sort((a, b) => b.worst - a.worst).slice(0, HEAT_ROWS).sort((a, b) => (a.name < b.name ? -1 : 1));
  const note = at("drift-note");
  note.replaceChildren(`${alerts.length} warnings and alerts; value over threshold:`);
  for (const ratio of [1, 2, 4, 8]) {
    const key = element("span", undefined, { class: "key" });
    key.style.background = heat(ratio);
    note.append(key, `${ratio}${ratio === 8 ? " and more" : ""}`);
  }
  if (rows.size > kept.length) note.append(`; ${rows.size - kept.length} calmer rows are not shown`);
  const axis = element("div", undefined, { class: "axis" });
  axis.append(element("span", time(first)), element("span", time(first + span)));
  at("drift").replaceChildren(...kept.map((row) => {
    const made = element("div", undefined, { class: "heat" }), track = element("div", undefined, { class: "track" });
    for (const [column, { one, ratio }] of [...row.cells].sort((a, b) => a[0] - b[0])) {
      const text = `${row.name}: ${one.level}, ${number(one.value, 4)} with a threshold of ${number(one.threshold, 4)}, ${time(one.timestamp)}`;
      const cell = element("button", undefined, { type: "button", title: text, "aria-label": text });
      cell.style.gridColumn = column + 1;
      cell.style.background = heat(ratio);
      cell.addEventListener("click", () => open(one.id));
      track.append(cell);
    }
    made.append(element("span", `${row.name} ×${row.count}`), track);
    return made;
  }), axis);
}

function showExperiments(now) {
  const results = {}, states = {};
  for (const result of now.experiment_result) results[result.experiment_id] ??= result;
  for (const state of now.experiment_state) states[state.experiment_id] ??= state;
  const rows = Object.values(states).flatMap((state) => {
    const found = results[state.experiment_id], name = { text: state.experiment_id, open: state.id };
    const stage = `${state.status}, ${state.ramp_pct} %`;
    if (!found) return [[name, stage, state.primary_metric, "", "no look yet", "", ""]];
    const scale = Math.max(1, ...found.comparisons.flatMap((one) => [Math.abs(one.lift_lower_pct), Math.abs(one.lift_upper_pct)])) * 1.05;
    return found.comparisons.map((one) => {
      const text = `${signed(one.lift_pct)} % (${signed(one.lift_lower_pct)} to ${signed(one.lift_upper_pct)})`;
      return [name, stage, `${one.metric}, ${one.role}`, `${number(one.control, 3)} → ${number(one.treatment, 3)} ${one.unit}`,
        text, { lift: [one.lift_pct, one.lift_lower_pct, one.lift_upper_pct], scale, text: `${one.metric} ${text}` },
        { text: `look ${found.look} of ${found.looks_planned}: ${found.decision}`, open: found.id }];
    });
  });
  table("experiments", ["experiment", "stage", "metric", "control → treatment", "lift", "around zero", "decision"], rows);
}

function showCapacity(now) {
  const plans = {};
  for (const plan of now.capacity_plan) plans[plan.scope] ??= plan;
  const needs = Object.values(plans).flatMap((plan) => Object.entries(plan.needs).map(([name, need]) => ({ plan, name, need })));
  needs.sort((a, b) => (a.need.exceeds_at ?? Infinity) - (b.need.exceeds_at ?? Infinity));
  table("capacity", ["scope", "resource", "now", "at the end", "critical", "crosses", "probability", "urgency", "do"],
    needs.map(({ plan, name, need }) => [{ text: plan.scope, open: plan.id }, name, `${number(need.current)} ${need.unit}`,
      number(need.forecast), number(need.critical_threshold), need.exceeds_at
        ? `${day(need.exceeds_at)}, in ${number(need.days_to_threshold)} days` : `not within ${plan.horizon_days} days`,
      percent(need.exceeds_probability), need.urgency, need.recommended_action]));
  const keyOf = (one) => `${one.scope} ${one.resource}`;
  const need = (one) => plans[one.scope]?.needs[one.resource];
  const found = [...now.capacity].sort((a, b) => (need(a)?.exceeds_at ?? Infinity) - (need(b)?.exceeds_at ?? Infinity));
  const list = at("resource");
  list.parentElement.hidden = found.length === 0;
  if (drawn.resource !== JSON.stringify(found.map(keyOf)))
    list.replaceChildren(...found.map((one) => element("option", keyOf(one), { value: keyOf(one) })));
  drawn.resource = JSON.stringify(found.map(keyOf));
  const one = found.find((each) => keyOf(each) === resource) ?? found[0];
  if (one && document.activeElement !== list) list.value = keyOf(one);
  const days = one?.days ?? [], column = (k) => days.map((each) => each[k]), crosses = one && need(one)?.exceeds_at;
  at("capacity-note").textContent = !one ? "" : crosses
    ? `reaches ${number(one.critical_threshold)} ${one.unit} on ${day(crosses)}, within the horizon with ${percent(need(one).exceeds_probability)}`
    : `stays below ${number(one.critical_threshold)} ${one.unit}`;
  draw("outlook", [column(0).map((ms) => ms / 1000), column(1), column(2), column(3), days.map(() => one.threshold),
    days.map(() => one.critical_threshold)], [
    { label: "daily peak, forecast", stroke: colour("--a"), width: 2 }, { label: "95 % from", ...hidden }, { label: "to", ...hidden },
    dashed("warning", "--warn"), dashed("critical", "--bad"),
  ], { ids: days.map(() => one.id), bands: [{ series: [3, 2], fill: colour("--band") }], mark: crosses, days: true });
}

function showOptimizer(now) {
  const rollouts = {};
  for (const one of now.optimizer_rollout) rollouts[one.recommendation_id] ??= one;
  table("optimizer", ["scope", "when", "change", "expected", "confidence", "rollout"], now.optimizer_recommendation.slice(0, 10).map((r) => {
    const rollout = rollouts[r.id];
    return [{ text: r.scope, open: r.id }, time(r.timestamp),
      r.changes.map((c) => `${c.parameter} ${number(c.before, 3)} → ${number(c.after, 3)}`).join(", ") || "none",
      `${number(r.improvement_pct)} % (${number(r.improvement_lower_pct)} to ${number(r.improvement_upper_pct)})`, percent(r.confidence),
      rollout ? { text: `${rollout.status} at ${rollout.stage_pct} %`, open: rollout.id } : "–"];
  }));
}
