// Moments as people say them: "3 min ago", "in 2 h". The exact time stays in the title.

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

function inWords(seconds) {
  const far = Math.abs(seconds);
  if (far < 1.5) return "now";
  const [size, unit] = UNITS.find(([each]) => far >= each) ?? UNITS[3];
  const words = `${Math.floor(far / size)} ${unit}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

export function tickTimes() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-ms]")) {
    if (!element.title) {
      element.title = `${element.textContent} · ${new Date(Number(element.dataset.ms)).toLocaleString()}`;
    }
    const words = inWords((now - Number(element.dataset.ms)) / 1000);
    if (element.textContent !== words) element.textContent = words;
  }
}
