// Tables are sorted by a click on a column, pictures enlarged by a click on them.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => { const text = row.children[column].dataset.value ?? row.children[column].textContent;
      const number = parseFloat(text); return isNaN(number) ? text : number; };
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1;
      return up ? order : -order; });
    table.tBodies[0].append(...rows); }));
}
const box = document.createElement("dialog"); document.body.append(box);
box.addEventListener("click", () => box.close());
document.addEventListener("click", event => { if (event.target.matches("figure img")) {
  box.replaceChildren(event.target.cloneNode()); box.showModal(); } });
