// Tables are sorted by a click on the head of a column; a click on a picture enlarges it.
const valueOf = row => column => {
  const cell = row.children[column];
  const text = cell.dataset.value ?? cell.textContent;
  return text !== "" && !isNaN(text) ? Number(text) : cell.dataset.value === "" ? null : text;
};
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const isText = column === 0;
    const up = head.ariaSort ? head.ariaSort === "descending" : isText;
    for (const other of head.parentNode.children) other.ariaSort = null;
    head.ariaSort = up ? "ascending" : "descending";
    const body = table.tBodies[table.tBodies.length - 1];
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [valueOf(a)(column), valueOf(b)(column)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
      return up ? order : -order;
    });
    body.append(...rows);
  }));
}
const pictures = [...document.querySelectorAll("figure > img, figure > svg")];
const box = document.createElement("dialog");
document.body.append(box);
let shown = 0;
const show = index => {
  shown = (index + pictures.length) % pictures.length;
  const figure = pictures[shown].closest("figure");
  const large = pictures[shown].cloneNode(true);
  large.addEventListener("click", () => box.close());
  const words = document.createElement("p");
  const name = figure.closest("article")?.querySelector("h3")?.textContent;
  const remark = figure.querySelector("small")?.textContent;
  const caption = figure.querySelector("figcaption").firstChild.textContent;
  words.textContent = [name, caption, remark].filter(Boolean).join(" · ");
  box.replaceChildren(large, words);
  if (!box.open) box.showModal();
};
box.addEventListener("click", event => { if (event.target === box) box.close(); });
pictures.forEach((picture, index) => picture.addEventListener("click", () => show(index)));
document.addEventListener("keydown", event => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (box.open && step) { event.preventDefault(); show(shown + step); }
});
