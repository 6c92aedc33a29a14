/* The worklist's keys, and looking for news. The page works without both. */
"use strict";

(() => {
  const links = () => [...document.querySelectorAll(".worklist-open")];
  const help = document.getElementById("worklist-help");
  const helpButton = document.querySelector("[data-worklist-help]");
  helpButton.hidden = false;
  helpButton.addEventListener("click", () => help.showModal());

  // --- keys: Enter opens what has the focus, as everywhere ---
  const move = (step) => {
    const all = links();
    if (!all.length) return;
    const row = document.activeElement.closest(".worklist-row");
    const now = row ? all.findIndex((link) => row.contains(link)) : -1;
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + step));
    all[next].focus();
    all[next].closest(".worklist-row").scrollIntoView({ block: "nearest" });
  };
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    n: () => document.querySelector("a[rel=next]")?.click(),
    "/": () => document.getElementById("id_q").focus(),
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // --- news: asked for while somebody can see the page, until the server says stop ---
  const news = document.getElementById("worklist-news");
  let stopped = false;
  const look = () => {
    if (!stopped && !document.hidden) htmx.trigger(news, "pmi:look");
  };
  const timer = setInterval(look, Number(news.dataset.seconds) * 1000);
  document.addEventListener("visibilitychange", look);
  document.body.addEventListener("pmi:stop", () => {
    stopped = true;
    clearInterval(timer);
  });
  news.addEventListener("click", (event) => {
    if (!event.target.closest("[data-worklist-reload]")) return;
    // The same filters, from the top: what is new may be above.
    event.preventDefault();
    const address = new URL(location.href);
    address.searchParams.delete("cursor");
    location.assign(address);
  });
})();
