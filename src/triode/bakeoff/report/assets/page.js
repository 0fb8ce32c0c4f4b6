// Draws the charts of the page, keeps one choice of activations across all of them, and sorts the tables.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const { names, panels } = JSON.parse(document.getElementById("specifications").textContent);
  const views = new Map();
  const chosen = new Set();
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
    };
  }

  let drawings = 0;
  async function draw() {
    const mine = ++drawings; // a change of theme while charts are being drawn starts over
    for (const element of all(".chart")) {
      if (mine !== drawings) return;
      const id = element.dataset.panel;
      views.get(id)?.finalize();
      try {
        const result = await vegaEmbed(element, structuredClone(panels[id]), {
          mode: "vega-lite", renderer: "svg", ast: true, config: config(), downloadFileName: `triode-${id}`,
          actions: { export: true, source: false, compiled: false, editor: false },
          tooltip: { disableDefaultStyle: true },
        });
        views.set(id, result);
        result.view.signal("highlight", Array.from(chosen));
        result.view.addEventListener("click", (event, item) => choose(item?.datum?.activation));
        await result.view.runAsync();
      } catch (error) {
        problems.push(`${id}: ${error}`);
        element.textContent = "This chart could not be drawn; its numbers are in the table below.";
        element.classList.add("undrawn");
      }
    }
    root.dataset.drawn = String(all(".chart svg.marks").length);
    root.dataset.problems = problems.join("\n");
  }

  // One choice for the whole page: chips, lines, and rows of the table.
  function choose(name) {
    if (typeof name !== "string" || !names.includes(name)) return;
    if (!chosen.delete(name)) chosen.add(name);
    show();
  }

  function show() {
    const some = chosen.size > 0;
    document.querySelector(".legend").classList.toggle("choosing", some);
    for (const chip of all(".chip[data-name]")) chip.setAttribute("aria-pressed", String(chosen.has(chip.dataset.name)));
    for (const row of all(".results tr[data-name]")) row.classList.toggle("away", some && !chosen.has(row.dataset.name));
    for (const { view } of views.values()) view.signal("highlight", Array.from(chosen)).runAsync();
  }

  for (const chip of all(".chip[data-name]")) chip.addEventListener("click", () => choose(chip.dataset.name));
  document.querySelector(".chip.all").addEventListener("click", () => { chosen.clear(); show(); });

  for (const button of all("thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), table = head.closest("table"), place = head.cellIndex;
      const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of all("th", table.tHead)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", way);
      const value = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent;
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
