/** `Did you mean --steps?` for a word at most two edits away from a known one, else undefined. */
export function nearest(word: string, known: readonly string[], prefix: string): string | undefined {
  let best: string | undefined;
  let least = Math.min(3, word.length);
  for (const candidate of known) {
    const distance = edits(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best === undefined ? undefined : `Did you mean ${prefix}${best}?`;
}

/** Levenshtein's distance: insertions, deletions and replacements from `a` to `b`. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
