// Runs an act step by step: sends the form, shows each line of the answer, and goes on until all
// tasks were looked at, an error is reported, or the user stops it.
const LINES = "application/x-ndjson";

for (const form of document.querySelectorAll("form[data-act]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(form);
  });
}

async function run(form) {
  const send = form.querySelector("button:not([type=button])");
  const stop = form.querySelector("[data-stop]");
  const view = form.querySelector(".progress");
  const bar = view.querySelector("progress");
  const text = view.querySelector("[data-text]");
  const problem = view.querySelector("[data-error]");
  const stopping = new AbortController();
  const leave = (event) => event.preventDefault();
  stop.onclick = () => stopping.abort();
  addEventListener("beforeunload", leave);
  view.hidden = false;
  problem.hidden = true;
  send.disabled = true;
  stop.hidden = false;
  stop.focus();
  let last = { done: false };
  try {
    while (!last.done && !last.error) {
      last = await oneRequest(form, stopping.signal, (state) => {
        text.textContent = state.text;
        bar.max = Math.max(1, state.total);
        bar.value = state.done ? bar.max : state.scanned;
      });
    }
  } catch (error) {
    last.error = stopping.signal.aborted ? "" : `The dashboard does not answer: ${error.message}`;
  }
  removeEventListener("beforeunload", leave);
  stop.hidden = true;
  if (last.error) {
    problem.textContent = last.error;
    problem.hidden = false;
  }
  if (last.done) {
    send.hidden = true;
    form.querySelector("[data-back]").textContent = "Back to the tasks";
  } else {
    send.disabled = false;
    send.textContent = "Go on";
    if (stopping.signal.aborted) text.textContent = `Stopped. ${text.textContent}`;
  }
  text.focus();
}

// Sends the form once and returns the last state of the answer. The form remembers how far it is.
async function oneRequest(form, signal, show) {
  const answer = await fetch(form.action, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { Accept: LINES },
    signal,
  });
  if (!(answer.headers.get("content-type") || "").startsWith(LINES)) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = page.querySelector("main p");
    return { done: false, error: told ? told.textContent : `HTTP ${answer.status}` };
  }
  let last = { done: false, error: "The answer of the dashboard has no line." };
  for await (const state of lines(answer.body)) {
    last = state;
    show(state);
    for (const name of ["cursor", "scanned", "matched", "changed"]) {
      form.elements[name].value = state[name];
    }
  }
  return last;
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}
