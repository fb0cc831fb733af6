const cell = new Int32Array(new SharedArrayBuffer(4));
let waiting = 0;
let chained = false;

/**
 * Awaits a promise of Dawn. While one is pending, Node's binding polls without pause and eats a core that a software
 * adapter needs; a nap of 0.15 ms between turns gives it back. There is one chain of naps however many wait.
 */
export async function settle<T>(promise: Promise<T>): Promise<T> {
  waiting++;
  if (!chained) {
    chained = true;
    setImmediate(nap);
  }
  try {
    return await promise;
  } finally {
    waiting--;
  }
}

function nap(): void {
  if (waiting === 0) {
    chained = false;
    return;
  }
  Atomics.wait(cell, 0, 0, 0.15);
  setImmediate(nap);
}
