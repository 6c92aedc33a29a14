/* Distances and angles on a pane of the reading room, drawn as SVG over the picture.
 *
 * Points are kept as shares of the volume's axes (0..1), so they stay where they were put when the picture is zoomed,
 * moved or mirrored. Lengths are in millimetres only where the file tells the spacing, in picture points otherwise.
 */
(function () {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const AXIS = { axial: 2, coronal: 1, sagittal: 0 };
  const SHORTEST = 6; // screen points; a shorter stroke was a click

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  }

  class Measures {
    /* `pane` gives: projection(frac, view), size(), unit() -> {known, spacing}, words. */
    constructor(pane, svg) {
      this.pane = pane;
      this.svg = svg;
      this.clear();
    }

    clear() {
      this.items = [];
      this.draft = null;
      this.mark = null;
      this.draw();
    }

    get count() {
      return this.items.length;
    }

    removeLast() {
      if (this.draft) this.draft = null;
      else this.items.pop();
      this.draw();
    }

    /* --- making one --- */
    beginLine(frac, view, index) {
      this.draft = { type: "line", view, index, points: [frac, frac] };
      this.draw();
    }

    /* Whether what is being made lies on this slice. */
    isOn(view, index) {
      return this.draft !== null && this.draft.view === view && this.draft.index === index;
    }

    snapshot() {
      const { draft } = this;
      return { items: [...this.items], draft: draft && { ...draft, points: [...draft.points] } };
    }

    restore({ items, draft }) {
      this.items = items;
      this.draft = draft;
      this.draw();
    }

    /* The end of a line stays on its slice: a length through the stack would be drawn as one within it. */
    moveLine(frac, view, index) {
      if (!this.isOn(view, index)) return;
      this.draft.points[1] = frac;
      this.draw();
    }

    endLine() {
      const draft = this.draft;
      this.draft = null;
      const [a, b] = draft ? draft.points.map((point) => this.pane.projection(point, draft.view)) : [];
      const kept = Boolean(a && b && Math.hypot(a[0] - b[0], a[1] - b[1]) >= SHORTEST);
      if (kept) this.items.push(draft);
      this.draw();
      return kept ? this.words(draft) : "";
    }

    /* An angle is three points: an end, the corner, the other end. Returns its words once it is complete. */
    addAnglePoint(frac, view, index) {
      const draft = this.draft;
      if (!draft || draft.type !== "angle" || draft.view !== view || draft.index !== index) {
        this.draft = { type: "angle", view, index, points: [frac, frac] };
        this.draw();
        return "";
      }
      if (draft.points.length === 2) {
        draft.points[1] = frac;
        draft.points.push(frac);
        this.draw();
        return "";
      }
      draft.points[2] = frac;
      this.items.push(draft);
      this.draft = null;
      this.draw();
      return this.words(draft);
    }

    hover(frac, view, index) {
      const draft = this.draft;
      if (!draft || draft.type !== "angle" || draft.view !== view || draft.index !== index) return;
      draft.points[draft.points.length - 1] = frac;
      this.draw();
    }

    /* --- reading one --- */
    vector(from, to) {
      const size = this.pane.size();
      const { known, spacing } = this.pane.unit();
      return [0, 1, 2].map((axis) => (to[axis] - from[axis]) * size[axis] * (known ? spacing[axis] : 1));
    }

    number(value, digits) {
      const places = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
      return value.toLocaleString(document.documentElement.lang, places);
    }

    words(item) {
      const text = this.pane.words;
      const { known } = this.pane.unit();
      if (item.type === "line") {
        const length = Math.hypot(...this.vector(item.points[0], item.points[1]));
        if (!known) return text.pixels.replace("{n}", Math.round(length));
        return text.millimetres.replace("{n}", this.number(length, length < 100 ? 1 : 0));
      }
      if (item.points.length < 3) return "";
      const a = this.vector(item.points[1], item.points[0]);
      const b = this.vector(item.points[1], item.points[2]);
      const lengths = Math.hypot(...a) * Math.hypot(...b);
      if (!lengths) return "";
      const cosine = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) / lengths;
      const angle = (Math.acos(Math.min(1, Math.max(-1, cosine))) * 180) / Math.PI;
      return text.degrees.replace("{n}", this.number(angle, 1));
    }

    /* --- drawing --- */
    draw() {
      const shown = [];
      for (const item of [...this.items, this.draft]) {
        if (item && this.pane.isShown(item)) shown.push(this.drawn(item));
      }
      if (this.mark) shown.push(this.drawnMark());
      this.svg.replaceChildren(...shown.filter(Boolean));
    }

    /* The mark of those who measure by keys, in points of the canvas; null takes it away. */
    setMark(place) {
      this.mark = place;
      this.draw();
    }

    drawnMark() {
      const [x, y] = this.mark;
      const arm = 9 * this.pane.pixelScale();
      const group = element("g", { class: "room-measure" });
      for (const name of ["room-measure-under", "room-measure-line"]) {
        group.append(element("path", { d: `M${x - arm},${y}H${x + arm}M${x},${y - arm}V${y + arm}`, class: name }));
      }
      return group;
    }

    drawn(item) {
      const points = item.points.map((point) => this.pane.projection(point, item.view));
      if (points.some((point) => !point)) return null;
      const group = element("g", { class: "room-measure" });
      const path = points.map((point) => point.map((value) => value.toFixed(1)).join(",")).join(" ");
      const scale = this.pane.pixelScale();
      group.append(element("polyline", { points: path, class: "room-measure-under" }));
      group.append(element("polyline", { points: path, class: "room-measure-line" }));
      for (const [x, y] of points) group.append(element("circle", { cx: x, cy: y, r: 3 * scale, class: "room-measure-end" }));
      const words = this.words(item);
      if (words) {
        const at = points[1];
        const { width } = this.svg.viewBox.baseVal;
        const left = at[0] > width * 0.7;
        const size = 14 * scale;
        const x = at[0] + (left ? -8 : 8) * scale;
        group.append(
          element("text", { x, y: at[1] - 6 * scale, "font-size": size, "text-anchor": left ? "end" : "start" }, words),
        );
      }
      return group;
    }
  }

  window.pmiRoom = { ...(window.pmiRoom || {}), Measures, AXIS };
})();
