// The keyboard, beside what the browser does by itself with Tab, Enter and the fields.

const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];

export function listen({ box, results, player, like, close, help }) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const target = event.target;
    const isWriting = target.matches("input:not([type=radio]):not([type=file]), textarea, select");
    const card = target.matches("button.open") ? target : null;
    if (event.key === "Escape") {
      if (player.isOpen) close();
      else if (target === box && box.value) empty(box);
      else if (target === box) box.blur();
      else return;
    } else if (target === box && event.key === "ArrowDown") {
      if (!results.move(null, event.key)) return;
    } else if (isWriting) {
      return;
    } else if (event.key === "/") {
      box.focus();
      box.select();
    } else if (event.key === "?") {
      help();
    } else if (event.key === "m") {
      const place = card ? results.cards.indexOf(card) : -1;
      const hit = place < 0 ? player.hit : results.hits[place];
      if (!hit) return;
      like(hit);
    } else if (card && ARROWS.includes(event.key)) {
      if (!results.move(card, event.key)) box.focus();
    } else {
      return;
    }
    event.preventDefault();
  });
}

function empty(box) {
  box.value = "";
  box.dispatchEvent(new Event("input", { bubbles: true }));
}
