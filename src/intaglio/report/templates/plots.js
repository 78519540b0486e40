"use strict";
(async () => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("charts").textContent);
  const canvases = [...document.querySelectorAll(".canvas")];
  if (typeof DecompressionStream === "undefined") {
    for (const canvas of canvases) canvas.textContent = "This browser is too old to draw this plot.";
    return;
  }

  // The compressed library is part of the page; its hash in the policy lets it run as an inline script.
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);

  // Colours of the style sheet: as on the screen now, or (to print) of its first rule, the light theme.
  const paper = document.styleSheets[0].cssRules[0].style;
  const colours = (printing) => {
    const style = printing ? paper : getComputedStyle(root);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  };
  const dashes = ["solid", "dot", "dash", "dashdot", "longdash"];
  const rainbow = ["hue1", "hue2", "hue3", "hue4", "hue5"];

  // Names come from models: escape them, because Plotly interprets tags in texts.
  const text = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const short = (name, most = 24) => text(name.length <= most ? name : `…${name.slice(1 - most)}`);
  const wrapped = (sentence) => text(sentence.slice(0, 400)).replace(/(.{30,60}?) /g, "$1<br>");
  const narrow = () => innerWidth < 480;
  const touch = matchMedia("(pointer: coarse)").matches;

  const frame = (c, height, more) => ({
    height, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: c("soft") },
    margin: { l: 8, r: 12, t: 8, b: 8 }, dragmode: touch ? false : "zoom", bargap: 0.15,
    hoverlabel: { bgcolor: c("raised"), bordercolor: c("line"), font: { color: c("ink") }, namelength: -1 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: c("ink") } },
    ...more,
  });
  const axis = (c, title, more) => ({
    title: { text: title, standoff: 8 }, automargin: true, gridcolor: c("line"), zerolinecolor: c("line"),
    linecolor: c("line"), fixedrange: touch, ...more,
  });

  const chosen = { weights: 0, activations: 0 };

  const figures = {
    steps: (c, part) => {
      const points = data.steps[part].points;
      const row = points.map((_, i) => points.length - i);
      const most = narrow() ? 24 : 44;
      const names = points.map(([name]) => text(name.length <= most ? name : `${name.slice(0, most - 1)}…`));
      const lines = { x: [], y: [] };
      points.forEach(([, before, after], i) => {
        if (before === null) return;
        lines.x.push(before, after, null);
        lines.y.push(row[i], row[i], null);
      });
      const some = (name, wanted, pick, marker) => {
        const at = points.map((p, i) => [p, row[i]]).filter(([p]) => wanted(p));
        return {
          name, type: "scatter", mode: "markers", x: at.map(([p]) => pick(p)), y: at.map(([, y]) => y),
          text: at.map(([p]) => wrapped(p[4])), hovertemplate: `%{x:.4g} ${name}<br>%{text}<extra></extra>`,
          marker: { size: 10, ...marker }, showlegend: at.length > 0,
        };
      };
      return {
        traces: [
          { type: "scatter", mode: "lines", ...lines, hoverinfo: "skip", showlegend: false, line: { color: c("soft"), width: 1.5 } },
          some("before", (p) => p[1] !== null, (p) => p[1], { color: c("ground"), line: { color: c("soft"), width: 2 } }),
          some("after, kept", (p) => p[3] !== false, (p) => p[2], { color: c("accent") }),
          some("after, reverted", (p) => p[3] === false, (p) => p[2], { color: c("bad"), symbol: "x" }),
        ],
        layout: frame(c, 110 + 30 * points.length, {
          xaxis: axis(c, text(data.steps[part].metric), { zeroline: false }),
          yaxis: axis(c, "", { tickvals: row, ticktext: names, range: [0.4, points.length + 0.6], zeroline: false, fixedrange: true }),
        }),
      };
    },

    training: (c) => {
      const { score, points } = data.training;
      const scored = points.filter((p) => p[4] !== null);
      const line = (name, some, y, color, more) => ({
        name, type: "scatter", mode: "lines+markers", x: some.map((p) => p[1]), y: some.map(y), line: { color, width: 1.5 },
        marker: { color, size: 5 }, text: some.map((p) => `step ${p[0]}, learning rate ${p[3].toPrecision(3)}`),
        hovertemplate: `%{y:.4g} ${name}<br>%{text}<extra></extra>`, ...more,
      });
      return {
        traces: [
          line("loss", points, (p) => p[2], c("soft")),
          ...(scored.length ? [line(score, scored, (p) => p[4], c("accent"), { yaxis: "y2" })] : []),
        ],
        layout: frame(c, 320, {
          xaxis: axis(c, "epoch", { zeroline: false }),
          yaxis: axis(c, "loss", { zeroline: false, rangemode: "tozero" }),
          yaxis2: axis(c, score, { zeroline: false, overlaying: "y", side: "right", showgrid: false }),
        }),
      };
    },

    sensitivity: (c) => {
      const worst = data.sensitivity.slice(0, 20);
      return {
        traces: [{
          type: "bar", orientation: "h", x: worst.map(([, ratio]) => 100 * 10 ** (-ratio / 10)), y: worst.map((_, i) => i),
          text: worst.map(([name, ratio]) => `${text(name)}: ${ratio.toFixed(1)} dB`), textposition: "none",
          hovertemplate: "%{text}<extra></extra>",
          marker: { color: c("accent") },
        }],
        layout: frame(c, 70 + 22 * worst.length, {
          xaxis: axis(c, "output noise, % of signal power"),
          yaxis: axis(c, "", { tickvals: worst.map((_, i) => i), ticktext: worst.map(([name]) => short(name)), autorange: "reversed", fixedrange: true }),
        }),
      };
    },

    spread: (c) => {
      const layers = data.weights;
      const x = layers.map((_, i) => i + 1);
      const hover = layers.map((layer) => text(layer.name));
      const lines = { x: [], y: [] };
      layers.forEach((layer, i) => {
        if (layer.spread[0] !== null) {
          lines.x.push(i + 1, i + 1, null);
          lines.y.push(...layer.spread, null);
        }
      });
      const dots = (name, which, marker) => ({
        name, type: "scatter", mode: "markers", x, y: layers.map((layer) => layer.spread[which]), text: hover,
        hovertemplate: `%{text}: %{y:.3g} ${name}<extra></extra>`, marker: { size: 8, ...marker },
      });
      const before = lines.x.length > 0;
      return {
        traces: [
          { type: "scatter", mode: "lines", ...lines, hoverinfo: "skip", showlegend: false, line: { color: c("soft"), width: 1 } },
          ...(before ? [dots("before", 0, { color: c("ground"), line: { color: c("soft"), width: 1.5 } })] : []),
          dots(before ? "after" : "spread", 1, { color: c("accent") }),
        ],
        layout: frame(c, 270, {
          showlegend: before, xaxis: axis(c, "layer", { zeroline: false }),
          yaxis: axis(c, "widest / median channel", { type: "log", ...(Math.max(...layers.flatMap((l) => l.spread)) > 50 && { dtick: 1 }) }),
        }),
      };
    },

    weights: (c) => {
      const layer = data.weights[chosen.weights];
      const x = layer.shown.map((_, i) => i);
      const step = Math.max(1, Math.ceil(x.length / 10));
      const ticks = { tickvals: x.filter((i) => i % step === 0), ticktext: layer.shown.filter((_, i) => i % step === 0).map(String), range: [-1, x.length] };
      const box = (name, [lowest, lower, median, upper, highest], colour, panel) => ({
        type: "box", name, x, lowerfence: lowest, q1: lower, median, q3: upper, upperfence: highest, hoverinfo: "y",
        marker: { color: colour }, line: { width: 1 }, showlegend: false, xaxis: "x", yaxis: panel,
      });
      const two = layer.before !== null;
      const share = two ? [[0.56, 1], [0, 0.44]] : [null, [0, 1]];
      const layout = frame(c, two ? 460 : 300, {
        xaxis: axis(c, `output channel of ${short(layer.name, 40)}`, { ...ticks, zeroline: false, anchor: "y" }),
        yaxis: axis(c, two ? "after" : "weight", { domain: share[1] }),
      });
      if (two) layout.yaxis2 = axis(c, "before", { domain: share[0] });
      return {
        traces: [...(two ? [box("before", layer.before, c("soft"), "y2")] : []), box("after", layer.after, c("accent"), "y")],
        layout,
      };
    },

    activations: (c) => {
      const value = data.activations[chosen.activations];
      const { edges } = value;
      const seen = value.share.filter((y) => y > 0);
      const bottom = Math.log10(Math.min(...seen, 1)) - 0.3;
      const traces = [{
        type: "bar", name: "share", x: value.share.map((_, i) => (edges[i] + edges[i + 1]) / 2),
        width: value.share.map((_, i) => edges[i + 1] - edges[i]), y: value.share.map((y) => y || null),
        marker: { color: c("accent"), opacity: 0.55 }, showlegend: false,
        hovertemplate: "%{x:.4g}: %{y:.3g} %<extra></extra>",
      }];
      const ends = [10 ** bottom, 100];
      const known = Object.entries(value.thresholds).sort((a, b) => b[1][1] - a[1][1]);
      known.forEach(([name, [low, high]], i) => {
        const [x, y] = [[high, high], [...ends]];
        if (low < 0) { x.push(null, low, low); y.push(null, ...ends); }
        const taken = name === value.calibrator;
        const brief = narrow() ? name.replace("percentile-", "pct ") : name;
        traces.push({
          type: "scatter", mode: "lines", name: `${text(brief)}${taken ? " ✓" : ""}`, x, y,
          line: { color: c(rainbow[i % 5]), dash: dashes[Math.floor(i / 2) % 5], width: taken ? 3 : 1.5 },
          hovertemplate: `${text(name)}: ${low.toPrecision(4)} to ${high.toPrecision(4)}<extra></extra>`,
        });
      });
      const [low, high] = [Math.min(...edges, ...(value.grid ?? [])), Math.max(...edges, ...(value.grid ?? []))];
      const band = value.grid && { type: "rect", yref: "paper", y0: 0, y1: 1, x0: value.grid[0], x1: value.grid[1], fillcolor: c("accent"), opacity: 0.08, line: { width: 0 }, layer: "below" };
      return {
        traces,
        layout: frame(c, narrow() ? 500 : 420, {
          shapes: band ? [band] : [], hovermode: "closest",
          xaxis: axis(c, short(value.name, 40), { range: [low - 0.02 * (high - low), high + 0.02 * (high - low)] }),
          yaxis: axis(c, "% of elements", { type: "log", range: [bottom, 2], dtick: 1, exponentformat: "power" }),
          legend: { orientation: "h", x: 0, y: -0.22, yanchor: "top", entrywidth: narrow() ? 84 : 136, font: { color: c("ink"), size: 11 } },
        }),
      };
    },

    costs: (c) => {
      const x = data.costs.map((_, i) => i + 1);
      const names = data.costs.map(([name, kind]) => `${text(name)} (${text(kind)})`);
      const bars = (name, which, colour) => ({
        type: "bar", name, x, y: data.costs.map((cost) => cost[which]), text: names, textposition: "none",
        hovertemplate: `%{text}: %{y:,} ${name}<extra></extra>`, marker: { color: colour },
      });
      return {
        traces: [bars("multiply-accumulates", 2, c("accent")), ...(data.costs.some((cost) => cost[3]) ? [bars("input sums", 3, c("bad"))] : [])],
        layout: frame(c, 280, { barmode: "stack", xaxis: axis(c, "operator", { zeroline: false }), yaxis: axis(c, "") }),
      };
    },

    confusion: (c) => {
      const { classes, cells } = data.confusion;
      const at = classes.map((_, i) => i);
      const names = classes.map((name) => short(name, 12));
      const ticks = { tickvals: at, ticktext: names, fixedrange: true, showgrid: false, zeroline: false };
      const shown = cells.map((row, a) => row.map((n, b) => (a === b || !n ? null : n)));
      const height = Math.min(640, 130 + 26 * classes.length);
      return {
        traces: [{
          type: "heatmap", x: at, y: at, z: shown, text: shown.map((row) => row.map((n) => n ?? "")), texttemplate: "%{text}",
          textfont: { color: c("ink") }, colorscale: [[0, c("tint")], [1, c("deep")]], showscale: false, xgap: 1, ygap: 1, hoverongaps: false,
          customdata: classes.map((a) => classes.map((b) => `float ${text(a)}, integer ${text(b)}`)),
          hovertemplate: "%{customdata}: %{z}<extra></extra>",
        }, {
          // the diagonal shows numbers without colour, so that differing predictions stand out
          type: "scatter", mode: "text", x: at, y: at, text: cells.map((row, i) => row[i] || ""), hoverinfo: "skip", showlegend: false,
          textfont: { color: c("soft") },
        }],
        layout: frame(c, height, {
          plot_bgcolor: c("raised"),
          xaxis: axis(c, "integer", { ...ticks, tickangle: classes.length > 3 && narrow() ? -90 : "auto", range: [-0.5, at.length - 0.5] }),
          yaxis: axis(c, "float", { ...ticks, range: [at.length - 0.5, -0.5] }),
        }),
      };
    },
  };

  const config = { displayModeBar: false, responsive: true, showTips: false };
  const draw = (canvas, printing = false) => {
    const { traces, layout } = figures[canvas.dataset.plot](colours(printing), Number(canvas.dataset.part));
    if (printing) Object.assign(layout, { autosize: false, width: 680 }); // what fits on A4 and Letter
    return Plotly.react(canvas, traces, layout, config);
  };
  const all = (printing) => Promise.all(canvases.map((canvas) => draw(canvas, printing)));

  // Choose a layer or value from a list that a search filters; the weakest comes first if that is known.
  const pick = (controls) => {
    const kind = controls.dataset.for;
    const select = controls.querySelector("select");
    const search = controls.querySelector("input");
    const [back, on] = controls.querySelectorAll("button");
    const canvas = canvases.find((c) => c.dataset.plot === kind);
    const label = {
      weights: (layer) => `${layer.name} (${layer.operator}${layer.spread[0] === null ? "" : `, spread ${layer.spread[0].toPrecision(3)}`})`,
      activations: (value) => `${value.name}${value.sqnr === null ? "" : ` (${value.sqnr.toFixed(1)} dB)`}`,
    }[kind];
    const worth = { weights: (l) => -(l.spread[0] ?? l.spread[1] ?? 0), activations: (v) => v.sqnr ?? 1e9 }[kind];
    const order = data[kind].map((_, i) => i);
    const options = order.map((i) => new Option(label(data[kind][i]), i));
    const to = (i) => {
      chosen[kind] = i;
      select.value = i;
      draw(canvas);
    };
    const fill = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = options.filter((option) => wanted.every((word) => option.text.toLowerCase().includes(word)));
      select.replaceChildren(...kept);
      select.disabled = back.disabled = on.disabled = !kept.length;
      if (kept.length) to(kept.some((o) => Number(o.value) === chosen[kind]) ? chosen[kind] : Number(kept[0].value));
    };
    const move = (by) => {
      const next = select.selectedIndex + by;
      if (next >= 0 && next < select.options.length) to(Number(select.options[next].value));
    };
    select.addEventListener("change", () => to(Number(select.value)));
    search.addEventListener("input", fill);
    back.addEventListener("click", () => move(-1));
    on.addEventListener("click", () => move(1));
    chosen[kind] = order.reduce((best, i) => (worth(data[kind][i]) < worth(data[kind][best]) ? i : best), 0);
    fill();
    controls.hidden = false;
    return to;
  };

  await all(false);
  const pickers = {};
  for (const controls of document.querySelectorAll(".pick")) pickers[controls.dataset.for] = pick(controls);
  canvases.find((c) => c.dataset.plot === "spread")?.on("plotly_click", ({ points: [point] }) => pickers.weights(point.pointIndex));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(false));
  window.addEventListener("beforeprint", () => all(true));
  window.addEventListener("afterprint", () => all(false));
  root.dataset.plots = "drawn";
})();
