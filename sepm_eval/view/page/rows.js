"use strict";
// The list: filters above, and of the rows only those that can be seen.
{
  const ROW = 72; // pixels, as in view.css
  const BEYOND = 6; // rows above and below what can be seen
  const MOST_MARKS = 6;
  const form = document.getElementById("filters");
  const box = document.getElementById("list");
  const rows = document.getElementById("rows");
  const drawn = new Map(); // rows by their place in the list
  let found = []; // view.found, as it is drawn
  let active = 0; // place of the row that the keyboard is at

  const choices = (list) => ({
    items: [...new Set(list.runs.map((run) => run.items))],
    model: [...new Set(list.runs.map((run) => run.model))],
    method: [...new Set(list.runs.map((run) => run.method))],
    outcome: Object.keys(view.OUTCOMES),
    label: [...new Set(list.label)].filter((label) => label >= 0).map((label) => list.labels[label]).sort(),
    answer: [...new Set(list.runs.flatMap((run) => [...new Set(run.answers)]))]
      .filter((label) => label >= 0).map((label) => list.labels[label]).sort(),
  });

  const fillFilters = () => {
    const names = { outcome: view.OUTCOMES, method: Object.fromEntries(view.list.runs.map((run) => [run.method, run.called])) };
    for (const [name, values] of Object.entries(choices(view.list))) {
      const wanted = view.filters[name];
      const all = wanted && !values.includes(wanted) ? [...values, wanted] : values;
      const options = ["", ...all].map((value) =>
        view.element("option", { value }, value === "" ? "all" : (names[name]?.[value] ?? value)));
      form.elements[name].replaceChildren(...options);
      form.elements[name].value = wanted;
    }
    if (document.activeElement !== form.elements.search) form.elements.search.value = view.filters.search;
  };

  const marks = (item) => {
    const runs = view.runsInView().filter((run) => view.codeOf(run, item));
    const mark = (run) => {
      const code = view.codeOf(run, item);
      const flip = { "wrong-right": "↑", "right-wrong": "↓", "": "" }[view.flipOf(run, item)];
      return view.element("span", { class: `mark ${code}` }, view.VERDICTS[code][0] + flip);
    };
    if (runs.length === 1) return [view.element("span", {}, view.answerOf(runs[0], item) || "no answer", " "), mark(runs[0])];
    if (runs.length <= MOST_MARKS) return runs.map(mark);
    return Object.keys(view.VERDICTS).map((code) => {
      const count = runs.filter((run) => view.codeOf(run, item) === code).length;
      return count ? view.element("span", { class: `mark ${code}` }, `${view.VERDICTS[code][0]} ${count}`) : null;
    });
  };

  const said = (item) => view.runsInView().filter((run) => view.codeOf(run, item)).slice(0, MOST_MARKS)
    .map((run) => `${run.called}: ${view.answerOf(run, item)} ${view.VERDICTS[view.codeOf(run, item)][1]}`).join("; ");

  const drawRow = (place) => {
    const item = found[place];
    const { list } = view;
    const label = list.label[item] < 0 ? "label not known" : list.labels[list.label[item]];
    const row = view.element(
      "div",
      {
        class: "row", role: "option", id: `row-${place}`, "aria-setsize": found.length, "aria-posinset": place + 1,
        "aria-selected": String(place === active), "aria-label": `${list.ids[item]}, ${label}. ${said(item)}`,
        click: () => { active = place; view.open(item); },
      },
      view.thumbnail(item),
      view.element("div", { class: "what" }, view.element("b", {}, list.ids[item]),
        view.element("span", {}, `${label} · ${list.tasks[list.task[item]]}`)),
      view.element("div", { class: "marks" }, ...marks(item)),
    );
    row.style.top = `${place * ROW}px`;
    return row;
  };

  const drawRows = () => {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - BEYOND);
    const last = Math.min(found.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + BEYOND);
    for (const [place, row] of drawn) {
      if (place < first || place >= last) { row.remove(); drawn.delete(place); }
    }
    for (let place = first; place < last; place += 1) {
      if (!drawn.has(place)) { drawn.set(place, drawRow(place)); rows.append(drawn.get(place)); }
    }
  };

  const moveTo = (place) => {
    if (!found.length) return;
    drawn.get(active)?.setAttribute("aria-selected", "false");
    active = Math.max(0, Math.min(found.length - 1, place));
    const top = active * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
    drawRows();
    drawn.get(active).setAttribute("aria-selected", "true");
    box.setAttribute("aria-activedescendant", `row-${active}`);
  };

  const sayCount = () => {
    const { list, filters } = view;
    const count = document.getElementById("count");
    const many = new Intl.NumberFormat("en");
    const unknown = ["items", "model", "method"].filter((name) => filters[name] && !list.runs.some((run) => run[name] === filters[name]));
    const between = filters.confidence ? `, confidence ${filters.confidence.replace(":", " to ")}` : "";
    count.textContent = `${many.format(found.length)} of ${many.format(list.ids.length)} items${between}`;
    if (list.reading) count.textContent = "Reading the runs …";
    else if (!list.runs.length) count.textContent = `No runs${list.where && ` in ${list.where}`} yet: this page shows them when there are any.`;
    else if (unknown.length) count.textContent += `: there is no ${unknown.map((name) => `${name} "${filters[name]}"`).join(", ")} here`;
    else if (!found.length) count.textContent += ": nothing fits all filters. “Show all” takes them off.";
  };

  // Draws the list; with "keep" it stays where it is, as when a run has gone on.
  view.drawList = (keep) => {
    fillFilters();
    found = view.found;
    drawn.clear();
    rows.replaceChildren();
    rows.style.height = `${found.length * ROW}px`;
    if (!keep) { box.scrollTop = 0; active = 0; }
    active = Math.min(active, Math.max(0, found.length - 1));
    box.removeAttribute("aria-activedescendant");
    sayCount();
    drawRows();
  };

  view.focusList = (item) => {
    const place = found.indexOf(item);
    box.focus({ preventScroll: true });
    if (place >= 0) moveTo(place);
  };

  box.addEventListener("scroll", drawRows, { passive: true });
  window.addEventListener("resize", drawRows);
  box.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(box.clientHeight / ROW) - 1);
    const steps = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: found.length };
    if (event.key in steps) moveTo(steps[event.key]);
    else if (event.key === "Enter" && found.length) view.open(found[active]);
    else return;
    event.preventDefault();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const control of form.querySelectorAll("select, input")) {
    control.addEventListener(control.tagName === "SELECT" ? "change" : "input", () => view.go({ [control.name]: control.value }, true));
  }
  document.getElementById("reset").addEventListener("click", () =>
    view.go(Object.fromEntries(view.FILTERS.map((name) => [name, ""]))));
}
