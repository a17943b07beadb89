"use strict";
// A click on a column's header sorts its table: numbers by data-value, the rest as text; a second click turns it round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const header = button.parentElement;
    const column = header.cellIndex;
    const body = header.closest("table").tBodies[0];
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentElement.cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.value ?? null;
    const text = (row) => row.cells[column].firstChild?.textContent ?? "";
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x !== null && y !== null) return Number(x) - Number(y);
      if (x !== null || y !== null) return x !== null ? -1 : 1;
      return text(a).localeCompare(text(b));
    });
    body.append(...(down ? rows.reverse() : rows));
  });
}
