/* Grey values of a scan: what a window preset means for it, and how a window is moved.
 *
 * A window is kept as preset + shift + factor, not as two numbers: MRI and film values have no unit, so the same
 * numbers mean nothing in another scan, while "the same preset, a little brighter" does. CT presets are in HU.
 */
(function () {
  "use strict";

  const SAMPLES = 200000;

  class GreyValues {
    constructor(volume) {
      const slope = Number.isFinite(volume.hdr.scl_slope) && volume.hdr.scl_slope ? volume.hdr.scl_slope : 1;
      const offset = Number.isFinite(volume.hdr.scl_inter) ? volume.hdr.scl_inter : 0;
      const step = Math.max(1, Math.floor(volume.img.length / SAMPLES));
      const sample = new Float32Array(Math.ceil(volume.img.length / step));
      for (let at = 0, n = 0; at < volume.img.length; at += step, n += 1) sample[n] = volume.img[at] * slope + offset;
      this.all = sample.sort();
      const bottom = this.all[0];
      const floor = bottom + 0.05 * (this.at(this.all, 99.5) - bottom);
      const first = this.all.findIndex((value) => value > floor);
      // The air around a head is most of an MRI; shares of the whole would be shares of nothing.
      this.body = first < 0 ? this.all : this.all.subarray(first);
      this.stored = [volume.cal_min, volume.cal_max];
    }

    at(sorted, percent) {
      return sorted[Math.round(((sorted.length - 1) * percent) / 100)];
    }

    range(preset) {
      let [low, high] = this.stored;
      if (preset.unit === "hu") [low, high] = [preset.low, preset.high];
      if (preset.unit === "share") {
        const sorted = preset.of === "body" ? this.body : this.all;
        [low, high] = [this.at(sorted, preset.low), this.at(sorted, preset.high)];
      }
      return high > low ? [low, high] : [low, low + 1];
    }
  }

  class GreyWindow {
    constructor(presets) {
      this.presets = presets;
      this.reset();
    }

    reset() {
      this.use(this.presets[0].id);
    }

    use(id) {
      this.preset = this.presets.find((preset) => preset.id === id) || this.presets[0];
      this.shift = 0;
      this.factor = 1;
    }

    copy(other) {
      this.preset = this.presets.find((preset) => preset.id === other.preset.id) || this.preset;
      this.shift = other.shift;
      this.factor = other.factor;
    }

    /* Lowest and highest grey value shown. */
    limits(values) {
      const [low, high] = values.range(this.preset);
      const centre = (low + high) / 2 + this.shift * (high - low);
      const half = ((high - low) * this.factor) / 2;
      return [centre - half, centre + half];
    }

    get isChanged() {
      return this.shift !== 0 || this.factor !== 1;
    }
  }

  window.pmiRoom = { ...(window.pmiRoom || {}), GreyValues, GreyWindow };
})();
