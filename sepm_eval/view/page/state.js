"use strict";
// What the page knows, and what its address says.
//
// Data come as scripts that call takeList and takeItems, because a page that was opened from the file system may load
// nothing else. All that others wrote is put on the page as text, never as markup.
const view = {
  list: null, // what takeList was given, with the items of each set added
  filters: {}, // as in the address
  item: "", // the id of the item that is open
  chosen: null, // the run whose answer an item's page shows at large
  opened: new Map(), // details, by the number of their file
};

view.FILTERS = ["items", "model", "method", "outcome", "label", "answer", "confidence", "search"];
view.OUTCOMES = {
  right: "right",
  wrong: "wrong (unparsed included)",
  flipped: "flipped against zero-shot",
  "wrong-right": "flipped: wrong → right",
  "right-wrong": "flipped: right → wrong",
  unparsed: "unparsed",
  failed: "failed",
  ambiguous: "ambiguous in stage 1",
};
view.VERDICTS = { // by the characters of catalog.py
  r: ["✓", "right"],
  w: ["✗", "wrong"],
  u: ["?", "unparsed"],
  f: ["!", "failed"],
  o: ["·", "label not known"],
};

// An element with attributes and children; a text is always text.
view.element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name === "click") made.addEventListener("click", value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

view.takeList = (list) => {
  for (const one of list.sets.keys()) {
    const items = list.sets[one].flatMap(([first, count]) => Array.from({ length: count }, (_, k) => first + k));
    const at = new Int32Array(list.ids.length).fill(-1);
    items.forEach((item, place) => { at[item] = place; });
    list.sets[one] = { numbers: items, at };
  }
  for (const run of list.runs) Object.assign(run, list.sets[run.set]);
  view.list = list;
};

view.takeItems = (file, found) => {
  view.opened.set(file, found);
};

view.load = (name) =>
  new Promise((done, failed) => {
    const script = view.element("script", { src: `items/${name}` });
    script.addEventListener("load", () => { script.remove(); done(); });
    script.addEventListener("error", () => { script.remove(); failed(new Error(`${name} cannot be loaded`)); });
    document.head.append(script);
  });

// The details of an item: its answers, with the prompts in place of their numbers.
view.details = async (item) => {
  const file = Math.floor(item / view.list.chunk);
  if (!view.opened.has(file)) await view.load(`${file}.js`);
  const { items, texts } = view.opened.get(file);
  const found = items[item] ?? { picture: "", answers: [] };
  for (const answer of found.answers) answer.prompts = answer.asked.map((number) => texts[number]);
  return found;
};

// The address of an item's picture; "" if no run names one, or it is linked where this page may not read.
view.pictureOf = (item, small) => {
  const { root, files, small: suffix } = view.list.pictures;
  if (!files) return `${root}${item}${small ? suffix : ""}`;
  return files[item] && location.protocol === "file:" ? root + files[item] : "";
};

view.readAddress = (address = location.hash) => {
  const told = new URLSearchParams(address.slice(1));
  view.filters = Object.fromEntries(view.FILTERS.map((name) => [name, told.get(name) ?? ""]));
  view.item = told.get("item") ?? "";
};

view.address = (changes) => {
  const told = Object.entries({ ...view.filters, item: view.item, ...changes }).filter(([, value]) => value);
  return `#${new URLSearchParams(told)}`;
};

// What became of an item under a run: its character, or "" if the run has not got it.
view.codeOf = (run, item) => {
  const place = run.at[item];
  return place < 0 ? "" : run.codes[place];
};

view.answerOf = (run, item) => {
  const place = run.at[item];
  const label = place < 0 ? -1 : run.answers[place];
  return label < 0 ? "" : view.list.labels[label];
};

// "wrong-right" or "right-wrong" against zero-shot of the same model; "" if both are right, or both are not.
view.flipOf = (run, item) => {
  const [before, after] = [run.base < 0 ? "" : view.codeOf(view.list.runs[run.base], item), view.codeOf(run, item)];
  if (!"rwu".includes(before || "-") || !"rwu".includes(after || "-") || (before === "r") === (after === "r")) return "";
  return after === "r" ? "wrong-right" : "right-wrong";
};

view.runsInView = () => {
  const wanted = ["items", "model", "method"].filter((name) => view.filters[name]);
  return view.list.runs.filter((run) => wanted.every((name) => run[name] === view.filters[name]));
};

// The numbers of the items that fit all filters: outcome, answer and confidence are those of one and the same run.
view.matching = () => {
  const { list, filters } = view;
  const hit = new Uint8Array(list.ids.length);
  const label = filters.label ? list.labels.indexOf(filters.label) : null;
  const answer = filters.answer ? list.labels.indexOf(filters.answer) : null;
  const [low, high] = filters.confidence ? filters.confidence.split(":").map(Number) : [null, null];
  const fits = {
    "": () => true,
    right: (run, place) => run.codes[place] === "r",
    wrong: (run, place) => "wu".includes(run.codes[place]),
    unparsed: (run, place) => run.codes[place] === "u",
    failed: (run, place) => run.codes[place] === "f",
    ambiguous: (run, place) => run.ambiguous?.[place] === "1",
    flipped: (run, place) => view.flipOf(run, run.numbers[place]) !== "",
    "wrong-right": (run, place) => view.flipOf(run, run.numbers[place]) === "wrong-right",
    "right-wrong": (run, place) => view.flipOf(run, run.numbers[place]) === "right-wrong",
  }[filters.outcome] ?? (() => false);
  for (const run of view.runsInView()) {
    run.numbers.forEach((item, place) => {
      if (hit[item] || (label !== null && list.label[item] !== label)) return;
      if (answer !== null && (answer < 0 || run.answers[place] !== answer)) return;
      const confidence = run.confidence?.[place] ?? null;
      if (low !== null && (confidence === null || confidence < low || confidence >= high)) return;
      if (fits(run, place)) hit[item] = 1;
    });
  }
  const part = filters.search.toLowerCase();
  const found = [];
  for (let item = 0; item < hit.length; item += 1) {
    if (hit[item] && (!part || list.ids[item].toLowerCase().includes(part))) found.push(item);
  }
  return found;
};
