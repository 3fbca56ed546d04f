// One stream of changes for the page that is shown. It is closed while nobody looks at the tab.
import { morphInto, morphSelf } from "./morph.js";
import { tickTimes } from "./times.js";

let address = "";
let source = null;

const STATES = { live: "Live", paused: "Paused", lost: "Reconnecting", late: "Not up to date", still: "" };

function say(state, trouble = "") {
  const status = document.getElementById("status");
  if (status.dataset.state !== state) {
    status.dataset.state = state;
    document.getElementById("status-text").textContent = STATES[state];
  }
  const line = document.getElementById("trouble");
  line.hidden = !trouble;
  if (line.textContent !== trouble) line.textContent = trouble;
}

function open() {
  source = new EventSource(address);
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say("lost"));
  source.addEventListener("trouble", (event) => {
    const trouble = JSON.parse(event.data);
    say(trouble ? "late" : "live", trouble);
  });
  source.addEventListener("parts", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const element = document.getElementById(id);
      if (!element) continue;
      if (element.tagName === "TR") morphSelf(element, html);
      else morphInto(element, html);
    }
    tickTimes();
    document.dispatchEvent(new CustomEvent("dashboard:changed"));
  });
}

function close() {
  source?.close();
  source = null;
}

function look() {
  if (!address) return;
  if (document.hidden) {
    close();
    say("paused");
  } else if (!source || source.readyState === EventSource.CLOSED) {
    open();
  }
}

document.addEventListener("visibilitychange", look);
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", look);

export function follow(main) {
  const wanted = main?.dataset.live ?? "";
  if (wanted === address && source) return;
  close();
  address = wanted;
  if (!address) say("still");
  look();
}

// A stream that the server has refused (it was full, or is being replaced) is asked for again.
setInterval(look, 5000);
