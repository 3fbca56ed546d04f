// Plots of the last 24 hours, or of as many as there is something to see, by uPlot. Their colours are
// those of the style sheet.

const KINDS = {
  rates: [
    { key: "enqueued", label: "come in", color: "--pending", dash: [4, 3] },
    { key: "succeeded", label: "succeed", color: "--good", fill: true },
    { key: "failed", label: "fail", color: "--bad", fill: true },
    { key: "recovered", label: "recovered", color: "--warn" },
  ],
  times: [
    { key: "waited", label: "wait", color: "--pending", unit: "s" },
    { key: "ran", label: "run", color: "--running", unit: "s" },
  ],
  replicas: [
    { key: "depth", label: "tasks, estimated", color: "--pending", fill: true },
    { key: "replicas", label: "replicas", color: "--good", step: true, scale: "replicas" },
  ],
};

const drawn = new Map(); // figure → { plot, data }
const REFRESH_MS = 30000;
const SHORTEST_S = 3600;
const WHOLE = [1, 2, 5].flatMap((each) => [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6].map((power) => each * power)).sort((a, b) => a - b);

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function short(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "s") {
    if (value < 1) return `${Math.round(value * 1000)} ms`;
    return value < 120 ? `${value.toFixed(value < 10 ? 1 : 0)} s` : `${Math.round(value / 60)} min`;
  }
  if (value >= 10000) return `${Math.round(value / 1000)}k`;
  return value >= 100 ? `${Math.round(value)}` : `${Math.round(value * 10) / 10}`;
}

function clock(at) {
  return new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function marksPlugin(marks) {
  return {
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = color("--mark");
        ctx.fillStyle = color("--muted");
        ctx.lineWidth = devicePixelRatio;
        ctx.textAlign = "left";
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
        let free = -Infinity;
        for (const mark of marks) {
          const x = plot.valToPos(mark.at, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const text = mark.text.length > 24 ? `${mark.text.slice(0, 23)}…` : mark.text;
          const wide = ctx.measureText(text).width;
          const left = Math.min(x + 4 * devicePixelRatio, bbox.left + bbox.width - wide);
          if (left > free) {
            ctx.fillText(text, left, bbox.top + 10 * devicePixelRatio);
            free = left + wide + 8 * devicePixelRatio;
          }
        }
        ctx.restore();
      },
    },
  };
}

// A value without neighbours makes no line.
function isSparse(values) {
  return values.filter((value) => value !== null).length < 3;
}

function options(figure, lines, data, width) {
  const unit = lines[0].unit;
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const scales = { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high || 0, unit ? 0.01 : 1) * 1.08] } };
  const hours = { ...axis, size: 28, values: (_, ticks) => ticks.map(clock) };
  const axes = [hours, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => short(tick, unit)) }];
  if (lines.some((line) => line.scale === "replicas")) {
    scales.replicas = { range: (_, low, high) => [0, Math.max(high || 0, 1) + 1] };
    axes.push({ ...axis, scale: "replicas", side: 1, size: 36, grid: { show: false }, incrs: WHOLE });
    axes[1].incrs = WHOLE;
  }
  return {
    width,
    height: 190,
    scales,
    axes,
    plugins: [marksPlugin(data.marks ?? [])],
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    series: [
      { value: (_, at) => (at ? clock(at) : "–") },
      ...lines.map((line) => ({
        label: line.label,
        stroke: color(line.color),
        fill: line.fill ? `color-mix(in srgb, ${color(line.color)} 16%, transparent)` : undefined,
        width: 1.5,
        dash: line.dash,
        scale: line.scale ?? "y",
        points: { show: isSparse(data[line.key] ?? []), size: 5 },
        paths: line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        spanGaps: line.unit === "s",
        value: (_, value) => short(value, line.unit),
      })),
    ],
  };
}

// The part of the data that is drawn. A queue may be younger than a day: nothing changes before its
// first task. The hour at the end is always there.
function sinceSomethingHappened(data) {
  const { at } = data;
  if (!at?.length) return data;
  const columns = Object.keys(data).filter((key) => !["at", "marks"].includes(key) && data[key].length === at.length);
  const changed = at.findIndex((_, index) => columns.some((key) => data[key][index] !== data[key][0]));
  if (changed < 0) return data;
  const hour = at.findLastIndex((time) => time <= at.at(-1) - SHORTEST_S);
  const first = Math.max(0, Math.min(changed - 1, hour));
  const part = Object.fromEntries(columns.map((key) => [key, data[key].slice(first)]));
  return { ...data, ...part, at: at.slice(first) };
}

function describe(figure, lines, data) {
  const title = figure.querySelector("figcaption").textContent;
  const said = lines.map((line) => {
    const values = (data[line.key] ?? []).filter((value) => value !== null);
    if (!values.length) return `${line.label}: nothing`;
    return `${line.label}: last ${short(values.at(-1), line.unit)}, highest ${short(Math.max(...values), line.unit)}`;
  });
  figure.querySelector(".canvas").setAttribute("aria-label", `${title}, since ${clock(data.at[0])}. ${said.join("; ")}.`);
}

function draw(figure) {
  const state = drawn.get(figure);
  const place = figure.querySelector(".canvas");
  const lines = KINDS[figure.dataset.plot];
  const data = sinceSomethingHappened(state.data);
  state.plot?.destroy();
  state.plot = null;
  if (!data.at?.length || !place.clientWidth) return;
  const columns = [data.at, ...lines.map((line) => data[line.key] ?? data.at.map(() => null))];
  state.plot = new uPlot(options(figure, lines, data, place.clientWidth), columns, place);
  figure.dataset.since = data.at[0];
  describe(figure, lines, data);
}

const fetched = new Map(); // address → promise, so that two plots of one source ask once

function load(address) {
  if (!fetched.has(address)) {
    const answer = fetch(address, { headers: { Accept: "application/json" } }).then((found) => {
      if (!found.ok) throw new Error(found.status);
      return found.json();
    });
    fetched.set(address, answer);
    answer.catch(() => {}).finally(() => setTimeout(() => fetched.delete(address), 2000));
  }
  return fetched.get(address);
}

async function refresh(figure) {
  try {
    const data = await load(figure.dataset.source);
    if (!figure.isConnected) return;
    drawn.get(figure).data = data;
    draw(figure);
    figure.dataset.state = "drawn";
  } catch {
    figure.dataset.state = "late"; // the next round tries again
  }
}

const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const state = drawn.get(target.closest("figure"));
    if (state?.plot && contentRect.width) state.plot.setSize({ width: contentRect.width, height: 190 });
  }
});

export function drawPlots() {
  for (const [figure, state] of drawn) {
    if (!figure.isConnected) {
      state.plot?.destroy();
      drawn.delete(figure);
    }
  }
  for (const figure of document.querySelectorAll("figure[data-plot]")) {
    if (drawn.has(figure)) continue;
    drawn.set(figure, { plot: null, data: {} });
    widths.observe(figure.querySelector(".canvas"));
    refresh(figure);
  }
}

setInterval(() => {
  if (!document.hidden) for (const figure of drawn.keys()) refresh(figure);
}, REFRESH_MS);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const figure of drawn.keys()) draw(figure);
});
