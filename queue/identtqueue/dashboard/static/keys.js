// The keyboard: "/" goes to the search, Escape leaves it.

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.querySelector('[data-key="/"]');
      if (search) {
        event.preventDefault();
        search.focus();
        search.select?.();
      }
    }
    if (event.key === "Escape" && typing && typing.dataset.key === "/") typing.blur();
  });
}
