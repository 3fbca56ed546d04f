// What makes the pages live. Without scripts they still show everything and still act.
import { follow } from "./live.js";
import { tickTimes } from "./times.js";
import { drawPlots } from "./plots.js";
import { listenToKeys } from "./keys.js";
import { confirmActs } from "./confirm.js";

function begin() {
  follow(document.getElementById("main"));
  drawPlots();
  tickTimes();
}

listenToKeys();
confirmActs();
begin();
// A search swaps the content: the new one has a stream and plots of its own.
document.addEventListener("htmx:afterSettle", begin);
setInterval(tickTimes, 1000);
