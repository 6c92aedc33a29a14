/* The result page beside its viewer: print, and what to do when polling fails. The page works without this file. */
(function () {
  "use strict";

  const print = document.querySelector("[data-print]");
  if (print) {
    print.parentElement.hidden = false;
    print.addEventListener("click", () => {
      // Closed parts would be missing on paper.
      const closed = document.querySelectorAll("main details:not([open]):not(.pmi-viewer-more)");
      closed.forEach((part) => (part.open = true));
      window.addEventListener("afterprint", () => closed.forEach((part) => (part.open = false)), { once: true });
      window.print();
    });
  }

  // Other parts of the page that ask, as the form of a review, tell their own trouble.
  const isPoll = (event) => event.target.id === "reading-progress";
  const trouble = (show) => {
    const note = document.querySelector("[data-role=trouble]");
    if (note) note.hidden = !show;
  };
  document.addEventListener("htmx:sendError", (event) => {
    if (isPoll(event)) trouble(true);
  });
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (isPoll(event) && event.detail.successful) trouble(false);
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (!isPoll(event)) return;
    // The scan was deleted or is no longer shared: loading the page anew says so; polling on would not.
    if ([401, 403, 404].includes(event.detail.xhr.status)) window.location.reload();
    else trouble(true);
  });
})();
