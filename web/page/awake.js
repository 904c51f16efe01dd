// Keeps the screen on while the page listens: a machine that falls asleep hears nothing.

let isWanted = false;
let lock = null; // a WakeLockSentinel

export function keepAwake(wanted) {
  isWanted = wanted;
  if (wanted) return take();
  lock?.release();
  lock = null;
}

async function take() {
  if (lock && !lock.released) return;
  try {
    const taken = await navigator.wakeLock?.request("screen");
    if (isWanted) lock = taken;
    else taken?.release();
  } catch {
    // The battery is low, or the browser does not allow it.
  }
}

// Browsers take it back when the page is hidden.
document.addEventListener("visibilitychange", () => {
  if (isWanted && document.visibilityState === "visible") take();
});
