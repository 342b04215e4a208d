// Draws the charts of a page from the numbers in it, and sorts the coach's table. No network, no state.
"use strict";
(() => {
  const source = document.getElementById("data");
  const page = source ? JSON.parse(source.textContent) : null;
  const narrow = () => window.innerWidth < 620;

  // ---------------------------------------------------------------------------------------------- the coach's table
  const athletes = document.getElementById("athletes");
  if (athletes) {
    const body = athletes.tBodies[0], rows = [...body.rows];
    const said = document.getElementById("said"), filter = document.getElementById("filter");
    const onlyRisk = document.getElementById("only-risk");
    document.querySelectorAll("[data-for-script]").forEach((part) => { part.hidden = false; });
    const key = (row, column) => {
      const cell = row.cells[column];
      return column === 0 ? cell.textContent : cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    };
    const sort = (head, column, direction) => {
      const order = (a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (x === null || y === null) return (x === null) - (y === null); // what is not known comes last, either way
        return direction * (typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y);
      };
      body.append(...rows.sort(order));
      for (const other of athletes.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      said.textContent = said.dataset.sorted.replace("{column}", head.textContent);
    };
    [...athletes.tHead.rows[0].cells].forEach((head, column) => {
      if (!("sort" in head.dataset)) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(head, column, head.getAttribute("aria-sort") === "ascending" ? -1 : 1));
    });
    const choose = () => {
      const wanted = filter.value.toLocaleLowerCase();
      let count = 0;
      for (const row of rows) {
        row.hidden = !row.cells[0].textContent.toLocaleLowerCase().includes(wanted)
          || (onlyRisk.checked && !row.classList.contains("r"));
        count += !row.hidden;
      }
      said.textContent = said.dataset.count.replace("{count}", count);
    };
    filter.addEventListener("input", choose);
    onlyRisk.addEventListener("change", choose);
  }
  if (!page || typeof Plotly === "undefined") {
    document.querySelectorAll(".chart").forEach((chart) => { chart.style.minHeight = 0; });
    return;
  }

  // --------------------------------------------------------------------------------------------------------- charts
  const text = page.texts, charts = page.charts;
  Plotly.register({
    moduleType: "locale", name: page.language, dictionary: {},
    format: {
      days: text.weekdays, shortDays: text.weekdays, months: text.months, shortMonths: text.months,
      date: "%d/%m/%Y", time: "%H:%M:%S", dateTime: "%d/%m/%Y %H:%M:%S", periods: ["AM", "PM"], decimal: text.decimal, thousands: text.thousands,
    },
  });
  const config = { responsive: true, displayModeBar: false, locale: page.language, doubleClick: "reset" };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faint = (name, share) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour(name).slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${share})`;
  };
  const axis = (more) => ({
    gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("grey"), tickcolor: colour("line"),
    fixedrange: true, automargin: true, title: { standoff: 6, font: { size: 12 } }, ...more,
  });
  const days = (more) => axis({ type: "date", fixedrange: false, showgrid: false, nticks: narrow() ? 5 : 10,
    tickformatstops: [
      { dtickrange: [null, 86400000 * 26], value: "%d %b" }, { dtickrange: [86400000 * 26, null], value: "%b %Y" },
    ], hoverformat: "%d %b %Y", ...more });
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("text") },
    margin: { l: 44, r: 10, t: 34, b: 30 }, hovermode: "x unified", separators: text.decimal + text.thousands,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("grey"), font: { color: colour("text") } },
    legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", font: { size: 12 }, itemclick: "toggle" }, ...more,
  });
  const clock = (seconds) => {
    const whole = Math.round(seconds), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = whole % 60;
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const timeTicks = (values, unit, most = 7) => { // ticks of an axis in units of `unit` seconds, told as clock times
    const known = values.filter((value) => value !== null && value !== undefined);
    if (!known.length) return {};
    const low = Math.min(...known) * unit, high = Math.max(...known) * unit;
    const step = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find((one) => (high - low) / one <= most) || 7200;
    const ticks = [];
    for (let at = Math.floor(low / step) * step; at <= high + step; at += step) ticks.push(at);
    return { tickvals: ticks.map((at) => at / unit), ticktext: ticks.map(clock) };
  };
  const at = (values, n) => new Date(new Date(values[values.length - 1]).getTime() - n * 86400000).toISOString().slice(0, 10);
  const bands = [["orange", 25, 200], ["sky", 5, 25], ["grey", -10, 5], ["green", -30, -10], ["red", -200, -30]];
  let zoom = null, distance = null;

  const draw = {
    load(place) {
      const { x, ctl, atl, tsb } = charts.load;
      if (zoom === null) zoom = narrow() ? "182" : "365";
      const first = zoom === "all" ? x[0] : [x[0], at(x, Number(zoom))].sort()[1], last = x[x.length - 1];
      const from = x.findIndex((day) => day >= first);
      const top = Math.max(...ctl.slice(from), ...atl.slice(from), 1) * 1.06;
      const low = Math.min(...tsb.slice(from), -12), high = Math.max(...tsb.slice(from), 8);
      Plotly.react(place, [
        { x, y: ctl, name: text.fitness, mode: "lines", line: { color: colour("blue"), width: 2.6 },
          fill: "tozeroy", fillcolor: faint("blue", 0.12) },
        { x, y: atl, name: text.fatigue, mode: "lines", line: { color: colour("red"), width: 1.5, dash: "dot" } },
        { x, y: tsb, name: text.form, mode: "lines", yaxis: "y2", line: { color: colour("text"), width: 1.6 } },
      ], layout({
        height: 430,
        xaxis: days({ range: [first, last], anchor: "y2" }),
        yaxis: axis({ domain: [0.42, 1], range: [0, top], title: { text: text.tss_day } }),
        yaxis2: axis({ domain: [0, 0.34], range: [low * 1.08, high * 1.12], title: { text: text.form }, showgrid: false }),
        shapes: bands.map(([name, bottom, up]) => ({ type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y2",
          y0: Math.max(bottom, low * 1.08), y1: Math.min(up, high * 1.12), layer: "below", line: { width: 0 },
          fillcolor: faint(name, 0.2), visible: up > low * 1.08 && bottom < high * 1.12 })),
      }), config);
      document.querySelectorAll("[data-zoom]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.zoom === zoom));
    },
    projection(place) {
      const { x, ctl, tsb } = charts.load, names = Object.keys(charts.projection), since = at(x, 28);
      const from = x.findIndex((day) => day >= since), last = charts.projection[names[0]].x.slice(-1)[0];
      const looks = { rest: ["sky", "dot", "circle"], habit: ["red", "dash", "square"], plan: ["green", "solid", "diamond"] };
      const past = (y, yaxis) => ({ x: x.slice(from), y: y.slice(from), name: text.until_today, mode: "lines", yaxis, legendgroup: "past",
        showlegend: yaxis === "y", line: { color: colour("blue"), width: 2.4 } });
      const ahead = (name, part, yaxis) => ({ x: charts.projection[name].x, y: charts.projection[name][part], name: text.scenarios[name], yaxis,
        mode: "lines+markers", legendgroup: name, showlegend: yaxis === "y", line: { color: colour(looks[name][0]), width: 2, dash: looks[name][1] },
        marker: { size: 5, symbol: looks[name][2] } });
      Plotly.react(place, [past(ctl, "y"), past(tsb, "y2"), ...names.flatMap((name) => [ahead(name, "ctl", "y"), ahead(name, "tsb", "y2")])],
        layout({ height: 360, xaxis: days({ range: [since, last], anchor: "y2" }), yaxis: axis({ domain: [0.55, 1], title: { text: text.fitness } }),
          yaxis2: axis({ domain: [0, 0.45], title: { text: text.form } }) }), config);
    },
    volume(place) {
      const { x, km } = charts.weeks, weeks = narrow() ? 27 : 105;
      const mean = km.map((_, n) => { const part = km.slice(Math.max(0, n - 3), n + 1); return part.reduce((a, b) => a + b, 0) / part.length; });
      Plotly.react(place, [
        { x: x.slice(-weeks), y: km.slice(-weeks), type: "bar", name: text.km, marker: { color: colour("sky") }, hovertemplate: "%{y:.1f} km" },
        { x: x.slice(-weeks), y: mean.slice(-weeks), name: text.mean_4, mode: "lines", line: { color: colour("red"), width: 2 }, hovertemplate: "%{y:.1f} km" },
      ], layout({ height: 270, bargap: 0.15, xaxis: days({ hoverformat: "%d %b %Y" }), yaxis: axis({ title: { text: text.km }, rangemode: "tozero" }) }), config);
    },
    zones(place) {
      const { x, hours } = charts.zones, weeks = narrow() ? 27 : 53;
      const traces = hours.map((values, n) => ({
        x: x.slice(-weeks), y: values.slice(-weeks), type: "bar", name: n < 5 ? text.zones[n] : text.no_heart_rate,
        marker: { color: colour(n < 5 ? `zone${n + 1}` : "zone0"), line: { width: 0.5, color: colour("card") },
          pattern: n === 5 ? { shape: "/", fgcolor: colour("grey"), bgcolor: colour("zone0"), size: 5 } : {} },
        hovertemplate: "%{y:.1f} h",
      })).filter((_, n) => hours[n].some((value) => value > 0));
      Plotly.react(place, traces, layout({ height: 290, barmode: "stack", bargap: 0.15, xaxis: days(),
        yaxis: axis({ title: { text: text.hours } }), legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "normal" } }), config);
    },
    calendar(place) {
      const { x, tss, km } = charts.calendar, weeks = narrow() ? 27 : 53;
      const monday = (day) => { const date = new Date(day); date.setUTCDate(date.getUTCDate() - (date.getUTCDay() + 6) % 7); return date; };
      const end = monday(x[x.length - 1]), columns = [...Array(weeks).keys()].map((n) => new Date(end.getTime() - (weeks - 1 - n) * 604800000).toISOString().slice(0, 10));
      const place_of = new Map(columns.map((day, n) => [day, n]));
      const grid = () => [...Array(7)].map(() => Array(weeks).fill(null));
      const z = grid(), words = grid();
      x.forEach((day, n) => {
        const column = place_of.get(monday(day).toISOString().slice(0, 10)), row = (new Date(day).getUTCDay() + 6) % 7;
        if (column === undefined) return;
        z[row][column] = tss[n];
        const [year, month, date] = day.split("-").map(Number);
        const what = tss[n] || km[n] ? `${text.load} ${tss[n]}, ${String(km[n]).replace(".", text.decimal)} km` : text.rest_day;
        words[row][column] = `${date} ${text.months[month - 1]} ${year}: ${what}`;
      });
      const heat = colour("heat").split(",").map((one) => one.trim());
      const sorted = tss.filter((value) => value > 0).sort((a, b) => a - b);
      const top = sorted.length ? sorted[Math.floor(0.97 * (sorted.length - 1))] : 1; // one long day must not fade the rest
      Plotly.react(place, [{ type: "heatmap", x: columns, y: text.weekdays, z, text: words, hoverinfo: "text", xgap: 2, ygap: 2, zmin: 0, zmax: top,
        colorscale: heat.map((one, n) => [n / (heat.length - 1), one]),
        colorbar: { thickness: 10, outlinewidth: 0, title: { text: text.load, side: "top", font: { size: 11 } }, len: 1.1, tickfont: { size: 11 }, nticks: 4 } }],
      layout({ height: 200, hovermode: "closest", margin: { l: 36, r: 6, t: 8, b: 28 }, xaxis: days({ fixedrange: true, nticks: narrow() ? 4 : 12 }),
        yaxis: axis({ autorange: "reversed", showgrid: false, tickfont: { size: 11 } }) }), config);
    },
    easy(place) {
      const { x, pace, hr, months, median_pace, median_hr } = charts.easy;
      const dots = (y, yaxis) => ({ x, y, mode: "markers", name: text.each_run, legendgroup: "run", showlegend: yaxis === "y", yaxis,
        marker: { size: 5, color: faint("grey", 0.55) }, hoverinfo: "skip" });
      const line = (y, yaxis, name, dash, symbol, template) => ({ x: months, y, mode: "lines+markers", name: `${name}, ${text.monthly_median}`, yaxis,
        line: { color: colour(dash === "solid" ? "blue" : "red"), width: 2.2, dash }, marker: { size: 7, symbol }, ...template });
      const shown = pace.filter((value) => value !== null);
      Plotly.react(place, [dots(pace, "y"), dots(hr, "y2"),
        line(median_pace, "y", text.pace, "solid", "circle", { text: median_pace.map((value) => clock(60 * value)), hovertemplate: "%{text} /km" }),
        line(median_hr, "y2", text.heart_rate, "dot", "square", { hovertemplate: "%{y:.0f} bpm" })],
      layout({ height: narrow() ? 440 : 400, margin: { l: 44, r: 10, t: narrow() ? 64 : 34, b: 30 }, xaxis: days({ anchor: "y2" }),
        yaxis: axis({ domain: [0.5, 1], autorange: "reversed", title: { text: text.pace_unit }, ...timeTicks(shown, 60) }),
        yaxis2: axis({ domain: [0, 0.42], title: { text: text.bpm } }) }), config);
    },
    fan(place) {
      const { name, km, predicted, fast, slow } = charts.fan;
      Plotly.react(place, [
        { x: km, y: slow, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false },
        { x: km, y: fast, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faint("blue", 0.22), name: text.interval_80, hoverinfo: "skip" },
        { x: km, y: predicted, mode: "lines+markers", line: { color: colour("blue"), width: 2.2 }, marker: { size: 8 }, name: text.predicted,
          text: name.map((one, n) => `${text[one]}: ${clock(60 * predicted[n])} /km (${clock(60 * fast[n])}–${clock(60 * slow[n])})`), hovertemplate: "%{text}<extra></extra>" },
      ], layout({ height: 270, hovermode: "closest", xaxis: axis({ type: "log", tickvals: km, ticktext: name.map((one) => text[`short_${one}`]), showgrid: false }),
        yaxis: axis({ autorange: "reversed", title: { text: text.pace_unit }, ...timeTicks([...fast, ...slow], 60) }) }), config);
    },
    history(place) {
      const names = Object.keys(charts.history).filter((name) => name !== "x");
      if (distance === null) distance = names.includes("10k") ? "10k" : names[0];
      const x = charts.history.x, [p50, fast, slow] = charts.history[distance];
      const told = p50.map((value, n) => value === null ? "" : `${clock(value)} (${clock(fast[n])}–${clock(slow[n])})`);
      Plotly.react(place, [
        { x, y: slow, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false },
        { x, y: fast, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faint("blue", 0.22), name: text.interval_80, hoverinfo: "skip" },
        { x, y: p50, mode: "lines", line: { color: colour("blue"), width: 2.2 }, name: text.predicted, text: told, hovertemplate: "%{text}<extra></extra>" },
      ], layout({ height: 270, xaxis: days(), yaxis: axis({ ...timeTicks([...fast, ...slow], 1) }) }), config);
      document.querySelectorAll("[data-distance]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.distance === distance));
    },
    outcomes(place) {
      const { x, distance: of, error, inside } = charts.outcomes;
      const part = (wanted, name, symbol, tint) => { // either is in the legend, also where there is none
        const keep = x.map((_, n) => n).filter((n) => inside[n] === wanted);
        return { x: keep.map((n) => x[n]), y: keep.map((n) => error[n]), text: keep.map((n) => text[of[n]] || of[n]), name, mode: "markers", showlegend: true,
          marker: { size: 9, symbol, color: colour(tint), line: { width: 1, color: colour("card") } }, hovertemplate: "%{text}: %{y:+.1f} %<extra></extra>" };
      };
      Plotly.react(place, [part(true, text.in_interval, "circle", "blue"), part(false, text.outside_interval, "diamond", "red")],
        layout({ height: 270, hovermode: "closest", xaxis: days(), yaxis: axis({ ticksuffix: " %", zeroline: true, zerolinewidth: 2 }) }), config);
    },
    calibration(place) {
      const { predicted, observed } = charts.calibration, top = Math.max(...predicted, ...observed) * 1.1;
      Plotly.react(place, [
        { x: [0, top], y: [0, top], mode: "lines", line: { color: colour("grey"), dash: "dot" }, hoverinfo: "skip", showlegend: false },
        { x: predicted, y: observed, mode: "lines+markers", line: { color: colour("blue") }, marker: { size: 8 }, showlegend: false, hovertemplate: "%{x:.0%} → %{y:.0%}<extra></extra>" },
      ], layout({ height: 300, hovermode: "closest", xaxis: axis({ tickformat: ".0%", title: { text: text.predicted } }), yaxis: axis({ tickformat: ".0%", title: { text: text.observed } }) }), config);
    },
  };
  const places = [...document.querySelectorAll("[data-chart]")];
  const drawAll = () => places.forEach((place) => draw[place.dataset.chart](place));
  const drawOne = (name) => places.filter((place) => place.dataset.chart === name).forEach(draw[name]);
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => { zoom = button.dataset.zoom; drawOne("load"); }));
  document.querySelectorAll("[data-distance]").forEach((button) => button.addEventListener("click", () => { distance = button.dataset.distance; drawOne("history"); }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let before = narrow();
  window.addEventListener("resize", () => { if (before !== narrow()) { before = narrow(); drawAll(); } });
  drawAll();
})();
