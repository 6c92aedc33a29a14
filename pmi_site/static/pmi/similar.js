// Two pictures that zoom and move together, and a box drawn on one.
(() => {
  "use strict";
  const pair = document.querySelector("[data-similar-pair]");
  if (pair) {
    const images = [...pair.querySelectorAll("img")];
    let zoom = 1, x = 0, y = 0, last = null;
    const show = () => images.forEach((image) => { image.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`; });
    const scale = (factor) => { zoom = Math.min(8, Math.max(1, zoom * factor)); if (zoom === 1) x = y = 0; show(); };
    document.querySelectorAll("[data-similar-zoom]").forEach((button) => button.addEventListener("click", () => {
      const factor = Number(button.dataset.similarZoom);
      if (factor) scale(factor); else { zoom = 1; x = y = 0; show(); }
    }));
    pair.querySelectorAll(".similar-pane").forEach((pane) => {
      pane.addEventListener("wheel", (event) => { if (event.ctrlKey) { event.preventDefault(); scale(Math.exp(-event.deltaY * 0.0015)); } }, { passive: false });
      pane.addEventListener("pointerdown", (event) => { last = [event.clientX, event.clientY]; pane.setPointerCapture(event.pointerId); });
      pane.addEventListener("pointermove", (event) => { if (!last) return; x += event.clientX - last[0]; y += event.clientY - last[1]; last = [event.clientX, event.clientY]; show(); });
      for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => { last = null; });
    });
  }
  const draw = document.querySelector("[data-similar-draw]");
  if (draw) {
    const box = draw.querySelector(".similar-box"), input = document.getElementById("similar-box-input");
    let start = null;
    const at = (event) => { const r = draw.getBoundingClientRect(); return [(event.clientX - r.left) / r.width, (event.clientY - r.top) / r.height].map((v) => Math.min(1, Math.max(0, v))); };
    const place = (left, top, width, height) => {
      box.hidden = false;
      Object.assign(box.style, { left: `${left * 100}%`, top: `${top * 100}%`, width: `${width * 100}%`, height: `${height * 100}%` });
    };
    const typed = () => { const numbers = input.value.split(",").map(Number); if (numbers.length === 4 && numbers.every(Number.isFinite)) place(...numbers); };
    input.addEventListener("input", typed);
    typed();
    draw.addEventListener("pointerdown", (event) => { start = at(event); draw.setPointerCapture(event.pointerId); });
    draw.addEventListener("pointermove", (event) => {
      if (!start) return;
      const now = at(event), left = Math.min(start[0], now[0]), top = Math.min(start[1], now[1]);
      const width = Math.abs(start[0] - now[0]), height = Math.abs(start[1] - now[1]);
      place(left, top, width, height);
      input.value = [left, top, width, height].map((v) => v.toFixed(4)).join(",");
    });
    for (const end of ["pointerup", "pointercancel"]) draw.addEventListener(end, () => { start = null; });
  }
})();
