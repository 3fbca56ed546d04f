// Asks before an act that a button marks with data-confirm.

export function confirmActs() {
  const dialog = document.getElementById("confirm");
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-confirm]");
    if (!button || button.dataset.confirmed) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.getElementById("confirm-text").textContent = button.dataset.confirm;
    document.getElementById("confirm-yes").textContent = button.textContent.trim();
    dialog.returnValue = "no";
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue !== "yes") {
          button.focus();
          return;
        }
        button.dataset.confirmed = "yes";
        button.click();
        delete button.dataset.confirmed;
      },
      { once: true },
    );
    dialog.showModal();
  }, true);
}
