"use strict";
// The page of one item: its picture with the tokens, one answer at large, and every other one beside it.
{
  const el = view.element;
  const article = document.getElementById("item");
  const how = { side: 672, block: view.ALL_BLOCKS, kept: false, opacity: 0.85, frames: true }; // kept from item to item
  const CARD = { ...how, side: 224, opacity: 0.85, frames: false };
  let shown = null; // item and details that are on the page

  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const section = (title, ...children) => el("section", {}, el("h3", {}, title), ...children);

  const bar = (share, kind) => {
    const made = el("span", { class: `bar ${kind}` });
    made.style.width = `${100 * Math.min(Math.max(share ?? 0, 0), 1)}%`;
    return el("span", { class: "track" }, made);
  };

  const verdict = (run, item) => {
    const code = view.codeOf(run, item) || "o";
    const flip = { "wrong-right": ", flipped: zero-shot is wrong", "right-wrong": ", flipped: zero-shot is right", "": "" };
    return el("span", { class: `mark ${code}` }, `${view.VERDICTS[code][0]} ${view.VERDICTS[code][1]}${flip[view.flipOf(run, item)]}`);
  };

  const stageOne = (run, answer) => {
    if (answer.positive === undefined || answer.negative === undefined) return null;
    const lines = ["positive", "negative"].map((side) =>
      el("tr", {}, el("th", { scope: "row" }, side), el("td", {}, bar(answer[side], side)), el("td", {}, percent(answer[side]))));
    const gauge = bar((answer.confidence ?? 0) / run.largest, "sure");
    if (typeof run.alpha === "number") {
      const mark = el("span", { class: "alpha", title: `alpha = ${run.alpha}` });
      mark.style.left = `${100 * Math.min(1, run.alpha / run.largest)}%`;
      gauge.append(mark);
    }
    lines.push(el("tr", {}, el("th", { scope: "row" }, "confidence"), el("td", {}, gauge), el("td", {}, (answer.confidence ?? NaN).toFixed(4))));
    const than = typeof run.alpha === "number" ? ` (alpha = ${run.alpha}, the mark)` : "";
    const told = answer.ambiguous
      ? `Ambiguous: the confidence is not above the threshold${than}, so stage 2 is shown all labels.`
      : `The confidence is above the threshold${than}: the picture counts as ${answer.polarity}.`;
    return section("Stage 1: positive or negative?", el("table", { class: "bars", "data-part": "stage1" }, el("tbody", {}, ...lines)), el("p", {}, told));
  };

  const options = (run, answer, answers) => {
    if (!answer.option_probabilities) return null;
    const base = answers.find((other) => other.run === run.base)?.option_probabilities;
    const before = new Map(base ?? []);
    const rows = answer.option_probabilities.map(([label, share]) => {
      const offered = !answer.candidates || answer.candidates.includes(label);
      const bars = el("td", {}, ...(base ? [bar(before.get(label), "before")] : []), bar(share, "after"));
      const numbers = el("td", {}, ...(base ? [`${percent(before.get(label) ?? 0)} → `] : []), el("b", {}, percent(share ?? 0)));
      return el("tr", { class: offered ? "" : "left-out" }, el("th", { scope: "row" }, label, offered ? "" : " (not offered)"), bars, numbers);
    });
    const note = base ? "Before (zero-shot of the same model, grey) and after (this method, coloured)." : null;
    return section("Probability of each option's letter", note && el("p", {}, note), el("table", { class: "bars", "data-part": "options" }, el("tbody", {}, ...rows)));
  };

  const candidates = (answer) => {
    if (!answer.candidates && !answer.scores) return null;
    const scores = (answer.scores ?? []).map(([label, score]) => el("li", {}, `${label}: ${score === null ? "?" : score.toFixed(4)}`));
    return section("Candidates", el("p", { "data-part": "candidates" }, `Offered in the last stage: ${(answer.candidates ?? []).join(", ") || "all"}`),
      scores.length ? el("p", {}, "Scores after the polarity's weight:") : null, scores.length ? el("ul", {}, ...scores) : null);
  };

  const asked = (answer) => section(answer.prompts.length > 1 ? "Prompts, word for word" : "Prompt, word for word",
    ...answer.prompts.map((text, number) =>
      el("div", {}, el("h4", {}, `${number + 1}${answer.read?.[number] === undefined ? "" : `, with ${answer.read[number]} visual tokens read`}`), el("pre", { "data-part": "prompt" }, text))));

  const written = (answer) => section("Written",
    el("pre", { "data-part": "written" }, answer.error ?? answer.text ?? ""),
    answer.shuffled?.length ? el("p", {}, `The options stood in another order (${answer.shuffled.join(", ")}), and the model wrote “${answer.shuffled_text}”.`) : null,
    answer.analysis ? el("div", {}, el("h4", {}, "Analysis, written before"), el("pre", {}, answer.analysis)) : null);

  const tokens = (answer) => {
    if (answer.tokens === undefined) return "No journal record is at hand: what the model saw is not known.";
    const gone = answer.dropped ?? 0;
    if (gone) return `${gone} of ${answer.tokens} visual tokens dropped, ${answer.tokens - gone} kept.`;
    if (answer.left !== undefined && answer.left < answer.tokens) {
      return `Tokens were dropped inside the model: a layer had ${answer.left} of ${answer.tokens} on average. Which, the journal does not say.`;
    }
    return `All ${answer.tokens} visual tokens kept.`;
  };

  const controls = (answer, again) => {
    if (!answer.blocks) return null;
    const slider = el("input", { type: "range", id: "opacity", min: 0, max: 100, value: Math.round(100 * how.opacity) });
    slider.addEventListener("input", () => {
      how.opacity = slider.value / 100;
      article.querySelector(".large canvas").style.opacity = how.opacity;
    });
    const choice = (name, values, current, set) => {
      const made = el("select", { name }, ...values.map(([value, text]) => el("option", { value }, text)));
      made.value = current;
      made.addEventListener("change", () => { set(made.value); again(); });
      return made;
    };
    const blocks = [[view.ALL_BLOCKS, "all"], ...answer.blocks.map((block, number) => [number, `${number + 1}: ${block.rows} x ${block.columns}`])];
    if (how.block >= answer.blocks.length) how.block = view.ALL_BLOCKS;
    return el("div", { class: "controls" },
      el("label", {}, "Cover’s strength ", slider),
      el("label", {}, "Cover what was ", choice("cover", [["dropped", "dropped"], ["kept", "kept"]], how.kept ? "kept" : "dropped", (value) => { how.kept = value === "kept"; })),
      blocks.length > 2 ? el("label", {}, "Grids ", choice("grid", blocks, how.block, (value) => { how.block = Number(value); })) : null);
  };

  const picture = (item, found, answer) => {
    const place = el("div", { class: "large" });
    const again = () => place.replaceChildren(
      view.overlay(item, answer, how, `Picture of ${view.list.ids[item]}. ${tokens(answer)}`));
    again();
    return el("div", { class: "seen" }, place, controls(answer, again), el("p", { id: "tokens" }, tokens(answer)),
      el("p", { class: "path" }, found.picture || "No run names a file."));
  };

  const cards = (item, found, chosen) => found.answers.map((answer) => {
    const run = view.list.runs[answer.run];
    return el("button", { type: "button", class: "card", "aria-pressed": String(answer === chosen), click: () => choose(answer.run) },
      view.overlay(item, answer, CARD, ""),
      el("b", {}, run.called), el("span", {}, run.model), run.items === view.list.tasks[view.list.task[item]] ? null : el("span", {}, run.items),
      el("span", {}, view.answerOf(run, item) || "no answer"), verdict(run, item));
  });

  const choose = (number) => {
    view.chosen = number;
    draw();
    article.querySelector('.card[aria-pressed="true"]').focus({ preventScroll: true });
  };

  const draw = () => {
    const { item, found } = shown;
    const { list } = view;
    const inView = view.runsInView().map((run) => list.runs.indexOf(run));
    const answer = found.answers.find((one) => one.run === view.chosen)
      ?? found.answers.find((one) => inView.includes(one.run)) ?? found.answers[0];
    const place = view.found.indexOf(item);
    const neighbour = (text, step) => {
      const other = view.found[place + step];
      return el("button", { type: "button", disabled: place < 0 || other === undefined, click: () => view.open(other) }, text);
    };
    const top = el("nav", { "aria-label": "Items" }, el("button", { type: "button", id: "back", click: view.close }, "Back to the list"),
      neighbour("Previous", -1), neighbour("Next", 1), el("span", {}, place < 0 ? "" : `${place + 1} of ${view.found.length}`));
    const label = list.label[item] < 0 ? "not known" : list.labels[list.label[item]];
    const head = [top, el("h2", { tabindex: "-1" }, list.ids[item]), el("p", {}, `${list.tasks[list.task[item]]} · label: `, el("b", {}, label))];
    if (!answer) {
      article.replaceChildren(...head, el("p", {}, "No run has answered it."));
      return;
    }
    const run = list.runs[answer.run];
    const parts = [stageOne(run, answer), options(run, answer, found.answers), candidates(answer), written(answer), asked(answer)];
    article.replaceChildren(...head,
      el("div", { class: "two" }, picture(item, found, answer),
        el("div", { class: "told" }, el("h3", { id: "who" }, `${run.called} · ${run.model}`),
          el("p", {}, view.answerOf(run, item) || "no answer", " ", verdict(run, item)), ...parts)),
      el("h3", {}, "The same item under every method and model"), el("div", { class: "cards" }, ...cards(item, found, answer)));
  };

  // Shows an item; the address says which.
  view.showItem = async (item) => {
    const fresh = shown?.item !== item;
    document.getElementById("browse").hidden = true;
    article.hidden = false;
    try {
      const found = await view.details(item);
      if (view.numberOf(view.item) !== item) return; // another one was opened meanwhile
      shown = { item, found };
      draw();
    } catch (error) {
      article.replaceChildren(el("button", { type: "button", id: "back", click: view.close }, "Back to the list"),
        el("p", { role: "alert" }, `This item cannot be shown: ${error.message}.`));
    }
    if (fresh) { window.scrollTo(0, 0); article.querySelector("h2, p").focus({ preventScroll: true }); }
  };

  view.hideItem = () => {
    const before = shown?.item;
    shown = null;
    article.hidden = true;
    article.replaceChildren();
    document.getElementById("browse").hidden = false;
    return before;
  };

  document.addEventListener("keydown", (event) => {
    const writing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !writing && article.hidden) {
      document.getElementById("filters").elements.search.focus();
      event.preventDefault();
    }
    if (article.hidden) return;
    if (event.key === "Escape") view.close();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && !writing && shown) {
      const other = view.found[view.found.indexOf(shown.item) + step];
      if (other !== undefined && view.found.includes(shown.item)) view.open(other);
    }
  });
}
