"use strict";
// From the address to what is seen, and in a run that goes on again and again.
{
  const ASK_EVERY = 1000; // milliseconds
  const where = document.getElementById("where");
  const notes = document.getElementById("notes");
  let matched = null; // the filters that view.found fits
  let drawn = null; // those of the list as it is drawn

  let opened = -1; // the number of the item that was opened last: several benchmarks may have the same id

  // The number of the item that the address names, among those that fit the filters if it stands there; -1 if nowhere.
  view.numberOf = (id) => {
    const { ids, runs } = view.list;
    if (ids[opened] === id) return opened;
    const among = view.found.find((item) => ids[item] === id);
    return among ?? ids.findIndex((one, item) => one === id && runs.some((run) => run.at[item] >= 0));
  };

  // Shows what the address says; "anew" if the list has changed.
  const show = (anew = false) => {
    const filters = JSON.stringify(view.filters);
    if (filters !== matched || anew) view.found = view.matching();
    matched = filters;
    if (view.item) {
      const item = view.numberOf(view.item);
      if (item >= 0) { opened = item; view.showItem(item); return; }
    }
    const last = view.hideItem();
    view.drawList(filters === drawn);
    drawn = filters;
    if (last !== undefined) view.focusList(last);
    if (view.item) document.getElementById("count").textContent += ". There is no item of the id that the address names.";
    opened = -1;
  };

  // Changes the address; "replace" leaves no entry in the history, as for every letter of a search.
  view.go = (changes, replace = false) => {
    const address = view.address(changes);
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    view.readAddress(address); // not the browser's, which stays behind when addresses change too fast for it
    show();
  };
  view.open = (item) => {
    const neighbour = view.item !== "";
    opened = item;
    view.go({ item: view.list.ids[item] }, neighbour);
  };
  view.close = () => view.go({ item: "" });

  const say = () => {
    const { list } = view;
    where.textContent = list.where && `${list.where}${list.runs.some((run) => run.live) ? " (running)" : ""}`;
    const told = [...list.notes];
    if (list.pictures.files && location.protocol !== "file:") {
      told.push("Pictures are linked to files: open this page from the file system, or use sepm-eval view, to see them.");
    }
    notes.replaceChildren(...told.map((note) => view.element("p", { class: "warning" }, note)));
  };

  const follow = async () => {
    try {
      const told = await (await fetch("items/version")).text();
      if (Number(told) !== view.list.version) {
        await view.load("list.js");
        view.opened.clear();
        say();
        show(true);
      }
      where.classList.remove("gone");
    } catch {
      where.textContent = "The viewer has ended: what is shown here is what was there last.";
      where.classList.add("gone");
      return;
    }
    setTimeout(follow, ASK_EVERY);
  };

  const begin = async () => {
    try {
      await view.load("list.js");
    } catch (error) {
      document.getElementById("count").textContent = `The list of items is not beside this page (items/list.js): ${error.message}.`;
      return;
    }
    view.readAddress();
    say();
    show();
    window.addEventListener("popstate", () => { opened = -1; view.readAddress(); show(); });
    if (view.list.follow) setTimeout(follow, ASK_EVERY);
  };

  view.found = [];
  begin();
}
