// Two charts over one axis of time: the hit rate as stacked shares by tier, and the requests below it. SVG, drawn
// anew when figures or width change.

import { clock, draw } from "./elements.js";

const RATE_H = 170, GAP = 32, VOLUME_H = 56, AXIS_H = 22, LEFT = 44, RIGHT = 4, TOP = 8;

export const TIERS = ["exact", "normalised", "coalesced", "semantic", "draft"];
export const BUILT = ["exact", "normalised", "coalesced"]; // the others are shown once something is answered from them

// A round number not below n: the top of an axis.
function roundUp(n) {
  if (n <= 4) return Math.max(1, Math.ceil(n));
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((m) => m * power).find((top) => top >= n && Number.isInteger(top)) ?? 10 * power;
}

// Where labels of the axis of time go: at round times, as many as have room.
function ticks(steps, step_s, slot) {
  const every = [10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200]
    .find((s) => s >= step_s && (s / step_s) * slot >= 64) ?? 86400;
  // Whole hours are those of who looks.
  const zone_s = new Date().getTimezoneOffset() * 60;
  return steps.map((step, i) => [i, step.begins_unix_s]).filter(([, s]) => (s - zone_s) % every === 0);
}

function stack(x, width, base, parts) {
  let y = base;
  return parts.filter(([, height]) => height > 0).map(([kind, height]) => {
    y -= height;
    return draw("rect", { class: kind, x, y: y.toFixed(2), width, height: height.toFixed(2) });
  });
}

// A chart in `place` that says in words, by `readOut(step)`, what stands under the mouse or the arrow keys.
export class TimeChart {
  #steps = [];
  #step_s = 60;
  #at = null; // index of the step pointed at
  constructor(place, readOut) {
    this.place = place;
    this.readOut = readOut;
    new ResizeObserver(() => this.#draw()).observe(place);
    place.addEventListener("pointermove", (event) => this.#point(this.#indexAt(event)));
    place.addEventListener("pointerleave", () => this.#point(null));
    place.addEventListener("blur", () => this.#point(null));
    place.addEventListener("keydown", (event) => this.#key(event));
  }

  show(steps, step_s) {
    this.#steps = steps;
    this.#step_s = step_s;
    if (this.#at !== null && this.#at >= steps.length) this.#at = null;
    this.#draw();
    this.readOut(this.#at === null ? null : steps[this.#at]);
  }

  #slot() { return (this.place.clientWidth - LEFT - RIGHT) / this.#steps.length; }

  #indexAt(event) {
    const x = event.clientX - this.place.getBoundingClientRect().left - LEFT;
    const i = Math.floor(x / this.#slot());
    return i >= 0 && i < this.#steps.length ? i : null;
  }

  #key(event) {
    const last = this.#steps.length - 1;
    const to = { ArrowLeft: (this.#at ?? last + 1) - 1, ArrowRight: (this.#at ?? -1) + 1, Home: 0, End: last, Escape: null };
    if (!(event.key in to) || last < 0) return;
    event.preventDefault();
    this.#point(to[event.key] === null ? null : Math.min(last, Math.max(0, to[event.key])));
  }

  #point(at) {
    if (at === this.#at) return;
    this.#at = at;
    this.#draw();
    this.readOut(at === null ? null : this.#steps[at]);
  }

  #draw() {
    const width = this.place.clientWidth;
    if (width === 0) return;
    const height = TOP + RATE_H + GAP + VOLUME_H + AXIS_H;
    const rate_base = TOP + RATE_H, volume_base = rate_base + GAP + VOLUME_H;
    const top = roundUp(Math.max(1, ...this.#steps.map((step) => step.requests)));
    const line = (y, text, strong) => [
      draw("line", { class: strong ? "base" : "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
      draw("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, text)];
    const marks = [
      ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) => line(rate_base - share * RATE_H, `${100 * share} %`, share === 0)),
      ...line(volume_base - VOLUME_H, top), ...line(volume_base, 0, true)];
    const slot = this.#slot(), bar = Math.max(1, slot - Math.min(3, slot * 0.25));
    this.#steps.forEach((step, i) => {
      const x = LEFT + i * slot;
      if (i === this.#at)
        marks.unshift(draw("rect", { class: "pointed", x, y: TOP, width: slot, height: volume_base - TOP }));
      const at = (x + (slot - bar) / 2).toFixed(2);
      if (step.eligible > 0)
        marks.push(...stack(at, bar.toFixed(2), rate_base,
          TIERS.map((tier) => [tier, (RATE_H * step.hits[tier]) / step.eligible])));
      marks.push(...stack(at, bar.toFixed(2), volume_base,
        [["hit", step.hits_total], ["miss", step.misses], ["bypassed", step.bypasses_total]]
          .map(([kind, n]) => [kind, (VOLUME_H * n) / top])));
    });
    for (const [i, s] of ticks(this.#steps, this.#step_s, slot)) {
      const x = LEFT + i * slot;
      marks.push(draw("line", { class: "tick", x1: x, x2: x, y1: volume_base, y2: volume_base + 4 }),
        draw("text", { x, y: volume_base + 17, "text-anchor": x < LEFT + 20 ? "start" : "middle" }, clock(s, this.#step_s < 60)));
    }
    marks.push(draw("text", { class: "caption", x: LEFT, y: rate_base + GAP - 9 }, "Requests"));
    this.place.replaceChildren(draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, marks));
  }
}
