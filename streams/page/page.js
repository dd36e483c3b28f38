// The live page: one document a second from the worker, drawn as it is. No state but the chosen link and the token.
"use strict";

let chosen = "";
let current = null;

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
    for (const part of parts) if (part.startsWith("data: ")) tryToShow(JSON.parse(part.slice(6)));
  }
}

// A fault of ours is said as one, and not taken for a worker that does not answer.
function tryToShow(now) {
  try {
    show(now);
  } catch (error) {
    console.error(error);
    at("link-state").textContent = "this page has a fault: " + error.message;
  }
}

function show(now) {
  current = now;
  at("link-state").textContent = (now.caught_up ? "live, " : "reading what was, ") + time(now.worker.time) + " UTC";
  showStatus(now);
  showLinks(now);
  showForecast(now);
  showSelector(now);
  showModels(now.models);
  showLanes("anomalies", now.system_anomaly, (a) => a.anomaly_type, (a) => a.severity + " on " + [a.node_id, a.peer_id].filter(Boolean).join(":") + ", " + a.status,
    (a) => (["critical", "high"].includes(a.severity) ? "high" : a.severity === "low" ? "low" : ""));
  showHeat(now.drift_alert);
  showExperiments(now);
  showCapacity(now);
  showOptimizer(now);
  document.documentElement.dataset.shown = now.worker.time;
}

function showLinks(now) {
  const list = at("link");
  if (list.options.length !== now.links.length)
    list.replaceChildren(...now.links.map((link) => element("option", link, { value: link })));
  if (document.activeElement !== list) list.value = now.link;
}

for (const id of ["forecast", "residual", "accuracy", "regret", "outlook"]) {
  at(id).addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") pick(id, -1);
    else if (event.key === "ArrowRight") pick(id, 1);
    else if (event.key === "Enter" && points[id]?.[picked[id]]) open(points[id][picked[id]]);
    else return;
    event.preventDefault();
  });
  at(id).addEventListener("click", () => {
    const near = plots[id]?.cursor.idx;
    if (near === null || near === undefined) return;
    const places = points[id].flatMap((record, k) => (record ? [k] : []));
    const best = places.sort((a, b) => Math.abs(a - near) - Math.abs(b - near))[0];
    if (best !== undefined) open(points[id][best]);
  });
}
at("link").addEventListener("change", () => {
  chosen = at("link").value;
  control.abort();
});
at("resource").addEventListener("change", () => {
  resource = at("resource").value;
  if (current) showCapacity(current);
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  listen();
});
function redraw() {
  for (const id of Object.keys(plots)) {
    plots[id].destroy();
    delete plots[id];
  }
  if (current) show(current);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 200); });
listen();
