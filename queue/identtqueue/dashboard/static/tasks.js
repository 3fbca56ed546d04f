// The list of tasks: selects all rows of the page, and says how many are selected.
const list = document.getElementById("list");
const all = document.getElementById("select-all");

if (list && all) {
  const boxes = [...list.querySelectorAll("tbody input[type=checkbox]")];
  const number = document.getElementById("selected-number");
  const buttons = [...document.querySelectorAll("#selected button")];
  const count = () => {
    const selected = boxes.filter((box) => box.checked).length;
    number.textContent = selected ? `${selected} selected` : "";
    all.checked = selected === boxes.length;
    all.indeterminate = selected > 0 && selected < boxes.length;
    for (const button of buttons) button.disabled = !selected;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  list.addEventListener("change", count);
  addEventListener("pageshow", count); // the browser may have kept what was selected
  count();
}
