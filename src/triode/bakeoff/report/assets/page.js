// Draws the charts of the page, shows the same activations in all charts and tables, and sorts the tables.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const { names, panels } = JSON.parse(document.getElementById("specifications").textContent);
  const views = new Map();
  const chosen = new Set(); // brought forward
  const hidden = new Set();
  const problems = [];
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const theme = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const token = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  function config() {
    const ink = token("ink"), muted = token("muted");
    return {
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      range: { category: names.map((_, i) => token(`series-${i}`)) },
      view: { stroke: null },
      axis: {
        labelColor: muted, titleColor: muted, titleFontWeight: "normal", titleFontSize: 12, labelFontSize: 11.5,
        gridColor: token("grid"), domainColor: token("line"), tickColor: token("line"), titlePadding: 8,
      },
      axisY: { domain: false, ticks: false, labelPadding: 6 },
      axisBand: { labelColor: ink, labelFontSize: 13, gridColor: token("grid") },
      text: { color: ink, fontSize: 12.5 },
      rule: { color: muted },
      style: { zero: { fill: token("zero") } },
    };
  }

  // The specification without the hidden activations: their rows, their bands, their lines in the tooltip.
  function shown(spec) {
    if (!hidden.size) return spec;
    const away = (name) => hidden.has(name) || name === ""; // "" is a label that stands for several
    const walk = (node) => {
      if (Array.isArray(node)) { node.forEach(walk); return; }
      if (!node || typeof node !== "object") return;
      if (Array.isArray(node.data?.values)) node.data.values = node.data.values.filter((row) => !away(row.activation));
      if (node.y?.field === "activation") node.y.scale.domain = node.y.sort = node.y.sort.filter((name) => !away(name));
      if (Array.isArray(node.tooltip)) {
        node.tooltip = node.tooltip.filter(({ field }) => !/^a\d+$/.test(field) || !hidden.has(names[field.slice(1)]));
      }
      for (const key of Object.keys(node)) if (key !== "values") walk(node[key]);
    };
    walk(spec);
    const bands = spec.layer?.find((layer) => layer.encoding?.y?.field === "activation")?.encoding.y.sort.length;
    if (spec.usermeta?.band && bands !== undefined) spec.height = spec.usermeta.band * Math.max(1, bands);
    return spec;
  }

  let drawings = 0;
  async function draw() {
    const mine = ++drawings; // a change of theme or filter while charts are being drawn starts over
    delete root.dataset.drawn;
    const middle = innerHeight / 2;
    const far = (element) => { const box = element.getBoundingClientRect(); return Math.abs((box.top + box.bottom) / 2 - middle); };
    const waiting = all(".chart").filter((element) => !element.closest("[hidden]"));
    waiting.sort((a, b) => far(a) - far(b)); // what is being looked at first
    for (const element of waiting) {
      if (mine !== drawings) return;
      const id = element.dataset.panel;
      views.get(id)?.finalize();
      views.delete(id);
      element.style.minHeight = `${element.offsetHeight}px`; // the page does not jump while a chart is drawn again
      try {
        const result = await vegaEmbed(element, shown(structuredClone(panels[id])), {
          mode: "vega-lite", renderer: "svg", ast: true, config: config(), downloadFileName: `triode-${id}`,
          actions: { export: true, source: false, compiled: false, editor: false },
          tooltip: { disableDefaultStyle: true },
        });
        views.set(id, result);
        result.view.signal("highlight", Array.from(chosen));
        result.view.addEventListener("click", (event, item) => choose(item?.datum?.activation));
        await result.view.runAsync();
        element.classList.remove("undrawn");
      } catch (error) {
        problems.push(`${id}: ${error}`);
        element.textContent = "This chart could not be drawn; its numbers are in the table below.";
        element.classList.add("undrawn");
      }
      element.style.minHeight = "";
    }
    if (mine !== drawings) return;
    root.dataset.drawn = String(all(".chart svg.marks").filter((svg) => !svg.closest("[hidden]")).length);
    root.dataset.problems = problems.join("\n");
  }

  // A press on a line or a name brings it forward in every chart.
  function choose(name) {
    if (name !== null) {
      if (typeof name !== "string" || !names.includes(name)) return;
      if (!chosen.delete(name)) chosen.add(name);
    }
    for (const row of all(".results tr[data-name]")) row.classList.toggle("away", chosen.size > 0 && !chosen.has(row.dataset.name));
    for (const box of boxes) box.closest(".chip").classList.toggle("forward", chosen.has(box.dataset.name));
    for (const { view } of views.values()) view.signal("highlight", Array.from(chosen)).runAsync();
  }

  // What is shown: the ticked activations whose name holds the text.
  const boxes = all(".filter input[type=checkbox]"), find = document.getElementById("find");
  const normal = (text) => text.toLowerCase().replaceAll(/[\s_-]/g, "");
  let soon;
  function filter() {
    const text = normal(find.value), before = Array.from(hidden).join("\n");
    hidden.clear();
    for (const box of boxes) {
      const apart = !normal(box.dataset.name).includes(text);
      box.closest(".chip").classList.toggle("apart", apart);
      if (apart || !box.checked) hidden.add(box.dataset.name);
    }
    for (const row of all("tr[data-name], figure[data-name]")) row.hidden = hidden.has(row.dataset.name);
    const left = names.length - hidden.size;
    document.querySelector(".filter .count").textContent = hidden.size ? `${left} of ${names.length} shown` : "";
    root.dataset.shown = String(left);
    if (before !== Array.from(hidden).join("\n")) { delete root.dataset.drawn; clearTimeout(soon); soon = setTimeout(draw, 120); }
  }
  for (const box of boxes) box.addEventListener("change", filter);
  find.addEventListener("input", filter);
  find.addEventListener("keydown", (event) => { if (event.key === "Escape") { find.value = ""; filter(); } });
  const tick = (on) => { for (const box of boxes) box.checked = on; if (on) { find.value = ""; chosen.clear(); choose(null); } filter(); };
  document.querySelector(".chip.all").addEventListener("click", () => tick(true));
  document.querySelector(".chip.none").addEventListener("click", () => tick(false));

  for (const button of all("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), table = head.closest("table"), place = head.cellIndex;
      const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of all("th", table.tHead)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", way);
      const value = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent.replace("never", "Infinity").replace(/%$/, "");
      const order = (a, b) => {
        const x = Number(value(a)), y = Number(value(b));
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || value(a).localeCompare(value(b));
        return x - y;
      };
      const rows = Array.from(table.tBodies[0].rows).sort(order);
      if (way === "descending") rows.reverse();
      table.tBodies[0].append(...rows);
    });
  }

  for (const button of all(".copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  const toggle = document.querySelector(".theme");
  const label = () => { toggle.textContent = theme() === "dark" ? "light page" : "dark page"; };
  const asked = new URLSearchParams(location.search).get("theme");
  if (asked === "dark" || asked === "light") root.dataset.theme = asked;
  toggle.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    label();
    draw();
  });
  dark.addEventListener("change", () => { if (!root.dataset.theme) { label(); draw(); } });
  label();

  // The table of contents marks the section that is being read.
  const links = new Map(all("nav.contents a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      links.get(entry.target.id)?.classList.add("here");
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  for (const id of links.keys()) { const section = document.getElementById(id); if (section) watch.observe(section); }

  addEventListener("error", (event) => { problems.push(event.message); root.dataset.problems = problems.join("\n"); });
  draw();
})();
