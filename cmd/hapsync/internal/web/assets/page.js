"use strict";
// Puts the parts of the page in place as the agent sends them. Without it, the page is loaded again every few seconds.
(() => {
  const live = document.getElementById("live");
  const waiting = new Map(); // parts in which something is selected
  let source = null;
  let last = 0;

  const say = (text, level) => { live.textContent = text; live.className = level; };

  const put = (id, html) => {
    const at = document.getElementById(id);
    if (!at) { location.reload(); return; }
    const selection = getSelection();
    if (!selection.isCollapsed && at.contains(selection.anchorNode)) { waiting.set(id, html); return; }
    waiting.delete(id);
    const open = new Set([...at.querySelectorAll("details[open]")].map((d) => d.parentNode.textContent));
    const focused = at.contains(document.activeElement) && document.activeElement.getAttribute("href");
    at.innerHTML = html;
    for (const d of at.querySelectorAll("details")) { d.open = open.has(d.parentNode.textContent); }
    if (focused) {
      for (const link of at.querySelectorAll("a")) {
        if (link.getAttribute("href") === focused) { link.focus({ preventScroll: true }); break; }
      }
    }
  };

  const follow = () => {
    if (source) { source.close(); }
    source = new EventSource(location.pathname + location.search);
    source.addEventListener("part", (event) => {
      const part = JSON.parse(event.data);
      put(part.id, part.html);
    });
    source.addEventListener("beat", () => {
      last = Date.now();
      say("● live", "ok");
      for (const [id, html] of waiting) { put(id, html); }
    });
    source.onerror = () => say("▲ the agent does not answer", "warn");
  };

  setInterval(() => {
    if (document.hidden || Date.now() - last < 15000) { return; }
    last = Date.now();
    follow();
  }, 5000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source.close(); } else { follow(); }
  });
  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    if (event.key === "/" && search && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });
  last = Date.now();
  follow();
})();
