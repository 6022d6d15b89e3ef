// Tables sort by a click on a heading and show what is typed into their filter; links open what they lead to.
const number = text => parseFloat(text.replace(/[,†]/g, ""));
const name = head => head.textContent.replace("⇅", "").trim().toLowerCase();
const value = (row, column) => row.cells[column].textContent.trim();

function sort(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  const numeric = rows.some(row => !isNaN(number(value(row, column))));
  rows.sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (!numeric) return x.localeCompare(y);
    return (isNaN(number(x)) ? -Infinity : number(x)) - (isNaN(number(y)) ? -Infinity : number(y));
  });
  if (down) rows.reverse();
  table.tBodies[0].append(...rows);
}

// A word that names a column keeps the columns it names; any other keeps the rows that have it.
function filter(table, text) {
  const heads = [...table.tHead.rows[0].cells];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const named = word => heads.some((head, i) => i && name(head) === word);
  const columns = words.filter(named), rest = words.filter(word => !named(word));
  const kept = heads.map((head, i) => !i || !columns.length || columns.includes(name(head)));
  for (const row of table.rows) {
    [...row.cells].forEach((cell, i) => { cell.hidden = !kept[i]; });
    if (row.parentNode !== table.tHead) row.hidden = !rest.every(word => row.textContent.toLowerCase().includes(word));
  }
}

for (const table of document.querySelectorAll("table.data")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = "⇅";
    button.setAttribute("aria-label", `sort by ${head.textContent.trim()}`);
    head.append(button);
    head.addEventListener("click", () => sort(table, column, head));
  });
  if (table.tBodies[0].rows.length < 8) continue;
  const label = document.createElement("label"), input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  input.placeholder = "method or task";
  input.addEventListener("input", () => filter(table, input.value));
  label.append("Show only: ", input);
  table.parentNode.before(label);
}

for (const term of document.querySelectorAll("a.term")) {
  term.title = document.querySelector(term.getAttribute("href") + " + dd").textContent;
  term.addEventListener("click", event => event.stopPropagation());
}

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", open);
open();

let closed = [];
addEventListener("beforeprint", () => { closed = [...document.querySelectorAll("details:not([open])")]; closed.forEach(d => { d.open = true; }); });
addEventListener("afterprint", () => closed.forEach(d => { d.open = false; }));
