// Runs in a page before its own scripts. Notes when content was drawn, how keys were answered, and long tasks.
(selector) => {
  const seen = { shown: null, keys: [], tasks: [], drawn: 0 };
  window.benchSeen = seen;
  const painted = (note) => requestAnimationFrame(() => setTimeout(() => note(performance.now())));
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) seen.tasks.push(duration);
  }).observe({ type: "longtask", buffered: true });
  addEventListener("keydown", (event) => {
    if (event.key === "Shift") painted((at) => seen.keys.push([event.timeStamp, at]));
  }, true);
  const changed = new MutationObserver((changes) => {
    seen.drawn += changes.filter(({ target }) => target.parentElement?.closest("tbody")).length;
    if (seen.shown === null && document.querySelector(selector)) {
      seen.shown = 0;
      painted((at) => { seen.shown = at; });
    }
  });
  changed.observe(document, { childList: true, characterData: true, subtree: true });
}
