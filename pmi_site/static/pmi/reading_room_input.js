/* What mouse, fingers and wheel do on a pane of the reading room. `room` decides what follows on the other pane. */
(function () {
  "use strict";

  class PaneInput {
    constructor(pane, room) {
      this.pane = pane;
      this.room = room;
      this.pointers = new Map();
      this.wheelLeft = 0;
      const { canvas } = pane;
      canvas.addEventListener("pointerdown", (event) => this.down(event));
      canvas.addEventListener("pointermove", (event) => this.move(event));
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.up(event));
      canvas.addEventListener("pointerleave", () => pane.put("value", ""));
      canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      canvas.addEventListener("contextmenu", (event) => event.preventDefault());
      canvas.addEventListener("focus", () => room.activate(pane));
      canvas.addEventListener("webglcontextlost", () => pane.giveUp());
    }

    place(event) {
      const box = this.pane.canvas.getBoundingClientRect();
      const scale = this.pane.canvas.width / (box.width || 1);
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    }

    /* The right button changes the window, the middle one and Shift move, whatever the tool. */
    toolOf(event) {
      if (event.button === 2) return "window";
      return event.button === 1 || event.shiftKey ? "move" : this.room.tool;
    }

    down(event) {
      const { pane, room } = this;
      if (!pane.ready) return;
      event.preventDefault();
      pane.canvas.focus({ preventScroll: true });
      pane.measures.setMark(null);
      const [x, y] = this.place(event);
      this.pointers.set(event.pointerId, { x, y });
      if (this.pointers.size === 1) this.before = pane.measures.snapshot();
      pane.canvas.setPointerCapture(event.pointerId);
      this.pinchStart = null;
      this.drag = {
        x,
        y,
        tool: this.toolOf(event),
        slice: pane.voxel()[pane.axis],
        shift: pane.window.shift,
        factor: pane.window.factor,
        zoom: pane.zoom,
      };
      pane.beginPan();
      const point = pane.pointAt(x, y);
      if (!point) return;
      if (this.drag.tool === "line") pane.measures.beginLine(point.frac, point.view, point.index);
      if (this.drag.tool === "angle") room.say(pane.measures.addAnglePoint(point.frac, point.view, point.index));
      if (this.drag.tool === "slice" && pane.view === "all") this.goTo(point);
    }

    goTo(point) {
      const { pane } = this;
      pane.nv.scene.crosshairPos = point.frac;
      pane.nv.drawScene();
      pane.showSlice();
      this.room.follow(pane, "scroll");
    }

    move(event) {
      const { pane } = this;
      if (!pane.ready) return;
      const [x, y] = this.place(event);
      if (!this.pointers.has(event.pointerId)) return void this.hover(x, y);
      this.pointers.set(event.pointerId, { x, y });
      if (this.pointers.size === 2) return void this.pinch();
      if (this.pointers.size === 1 && this.drag) this.dragged(x, y);
    }

    dragged(x, y) {
      const { pane, room, drag } = this;
      const dx = (x - drag.x) / pane.canvas.width;
      const dy = (y - drag.y) / pane.canvas.height;
      if (drag.tool === "move") {
        pane.pan(drag.x, drag.y, x, y);
        room.follow(pane, "place");
      } else if (drag.tool === "zoom") {
        pane.setZoom(drag.zoom * Math.pow(2, -dy * 3));
        room.follow(pane, "place");
      } else if (drag.tool === "window") {
        room.moveWindow(pane, drag.shift + dy, drag.factor * Math.pow(2, dx * 3));
      } else if (drag.tool === "line") {
        const point = pane.pointAt(x, y);
        if (point) pane.measures.moveLine(point.frac, point.view, point.index);
      } else if (drag.tool === "slice" && pane.view === "all") {
        const point = pane.pointAt(x, y);
        if (point) this.goTo(point);
      } else if (drag.tool === "slice" && pane.info.volume) {
        pane.setSlice(drag.slice - Math.round(dy * pane.size()[pane.axis]));
        room.follow(pane, "scroll");
      }
    }

    hover(x, y) {
      const { pane } = this;
      const point = pane.pointAt(x, y);
      if (!point) return pane.put("value", "");
      pane.measures.hover(point.frac, point.view, point.index);
      const vox = Array.from(pane.nv.frac2vox(point.frac));
      const value = pane.nv.volumes[0].getValue(...vox);
      const text = Number.isInteger(value) ? String(value) : value.toFixed(1);
      return pane.put("value", `${pane.words.value.replace("{v}", text)} ${pane.info.greyUnit}`);
    }

    /* Measuring by keys: arrows move a mark, Enter puts a point where it is. */
    moveMark(dx, dy, fine) {
      const { canvas, measures } = this.pane;
      const step = canvas.width * (fine ? 0.002 : 0.02);
      const [x, y] = measures.mark || [canvas.width / 2, canvas.height / 2];
      const place = [
        Math.min(canvas.width - 1, Math.max(0, x + dx * step)),
        Math.min(canvas.height - 1, Math.max(0, y + dy * step)),
      ];
      measures.setMark(place);
      this.hover(...place);
      const point = this.pane.pointAt(...place);
      if (point && measures.draft?.type === "line") measures.moveLine(point.frac, point.view, point.index);
    }

    putPoint() {
      const { measures } = this.pane;
      if (!measures.mark) return this.moveMark(0, 0, false);
      const point = this.pane.pointAt(...measures.mark);
      if (!point) return undefined;
      if (this.room.tool === "angle") this.room.say(measures.addAnglePoint(point.frac, point.view, point.index));
      else if (measures.isOn(point.view, point.index)) this.room.say(measures.endLine());
      else measures.beginLine(point.frac, point.view, point.index);
      return undefined;
    }

    up(event) {
      this.pointers.delete(event.pointerId);
      if (this.drag?.tool === "line" && this.pane.measures.draft) this.room.say(this.pane.measures.endLine());
      this.drag = null;
    }

    pinch() {
      const { pane } = this;
      const [a, b] = [...this.pointers.values()];
      const span = Math.hypot(a.x - b.x, a.y - b.y) || 1;
      const middle = [(a.x + b.x) / 2, (a.y + b.y) / 2];
      // What the fingers put down on their way to a pinch was not meant to be measured.
      if (this.before) pane.measures.restore(this.before);
      this.before = null;
      this.drag = null;
      if (!this.pinchStart) {
        this.pinchStart = { span, zoom: pane.zoom, middle };
        return;
      }
      pane.setZoom((this.pinchStart.zoom * span) / this.pinchStart.span);
      pane.beginPan();
      pane.pan(this.pinchStart.middle[0], this.pinchStart.middle[1], middle[0], middle[1]);
      this.pinchStart.middle = middle;
      this.room.follow(pane, "place");
    }

    wheel(event) {
      const { pane, room } = this;
      if (!pane.ready) return;
      event.preventDefault();
      room.activate(pane);
      if (event.ctrlKey || !pane.info.volume) {
        pane.setZoom(pane.zoom * Math.exp(-event.deltaY * 0.0015));
        room.follow(pane, "place");
        return;
      }
      this.wheelLeft += event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
      const steps = Math.trunc(this.wheelLeft / 30);
      if (!steps) return;
      this.wheelLeft -= steps * 30;
      pane.step(Math.max(-5, Math.min(5, -steps)));
      room.follow(pane, "scroll");
    }
  }

  window.pmiRoom = { ...window.pmiRoom, PaneInput };
})();
