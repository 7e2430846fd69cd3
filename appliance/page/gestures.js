// Mouse, touch and pen on a pane: drag to move, wheel or pinch to zoom, right button or Shift to
// set the window.

const CLICK_PX = 4;

// on: {moved(dx, dy), zoomed(factor, px, py), toned(dx, dy), fitted(px, py)}, in screen pixels.
export function attach(surface, on) {
  const fingers = new Map();
  let dragging = false;
  let toning = false;

  const at = (event) => {
    const { left, top } = surface.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };

  surface.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    fingers.set(event.pointerId, at(event));
    dragging = fingers.size > 1;
    toning = event.button === 2 || event.shiftKey;
  });

  surface.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const dx = now.x - before.x;
    const dy = now.y - before.y;
    if (!dragging && Math.hypot(dx, dy) < CLICK_PX) return;
    // Captured only now: a click on a region has to reach the region.
    if (!surface.hasPointerCapture(event.pointerId)) surface.setPointerCapture(event.pointerId);
    dragging = true;
    if (fingers.size === 2) pinch(event.pointerId, before, now);
    else if (toning) on.toned(dx, dy);
    else on.moved(dx, dy);
    fingers.set(event.pointerId, now);
  });

  const pinch = (moving, before, now) => {
    const [still] = [...fingers].filter(([id]) => id !== moving).map(([, place]) => place);
    const length = (a, b) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const factor = length(now, still) / length(before, still);
    on.zoomed(factor, (now.x + still.x) / 2, (now.y + still.y) / 2);
    on.moved((now.x - before.x) / 2, (now.y - before.y) / 2);
  };

  for (const name of ["pointerup", "pointercancel"]) {
    surface.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) dragging = false;
    });
  }

  surface.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const { x, y } = at(event);
    const strength = event.ctrlKey ? 0.01 : 0.0015; // with Ctrl it is a touch pad's pinch
    on.zoomed(Math.exp(-event.deltaY * lines * strength), x, y);
  }, { passive: false });

  surface.addEventListener("dblclick", (event) => {
    if (event.target.closest("button")) return;
    const { x, y } = at(event);
    on.fitted(x, y);
  });
  surface.addEventListener("contextmenu", (event) => event.preventDefault());
}
