"use strict";
(() => {
  const table = document.getElementById("values");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.querySelectorAll("button")];
  const filter = document.getElementById("filter");
  const order = document.getElementById("order");
  const shown = document.getElementById("shown");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const words = new Intl.Collator(undefined, { numeric: true });
  let state = { key: "number", down: false };

  // Sort key of a row: a number, a text, or null for no value; null comes last in both directions.
  const value = (row, key) => {
    const cell = row.querySelector(`[data-key="${key}"]`);
    if (cell.dataset.value === undefined) return cell.firstChild.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };

  const sort = (key, down) => {
    state = { key, down };
    const keys = new Map(rows.map((row) => [row, value(row, key)]));
    const sorted = [...rows].sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const difference = typeof x === "number" ? x - y : words.compare(x, y);
      return down ? -difference : difference;
    });
    body.append(...sorted);
    for (const head of heads) {
      const cell = head.parentElement;
      if (head.dataset.key === key) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    order.value = key;
  };

  const show = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !wanted.every((word) => texts.get(row).includes(word));
      count += !row.hidden;
    }
    shown.textContent = wanted.length ? `${count} of ${rows.length}` : `${rows.length} values`;
  };

  for (const head of heads) {
    head.addEventListener("click", () => sort(head.dataset.key, state.key === head.dataset.key && !state.down));
  }
  order.addEventListener("change", () => sort(order.value, false));
  document.getElementById("turn").addEventListener("click", () => sort(state.key, !state.down));
  filter.addEventListener("input", show);
  window.addEventListener("hashchange", () => {
    const row = document.getElementById(location.hash.slice(1));
    if (!row || !row.hidden) return;
    filter.value = ""; // the link's row is hidden by the filter
    show();
    row.scrollIntoView();
  });
  document.querySelector(".controls").hidden = false;
  show();
})();
