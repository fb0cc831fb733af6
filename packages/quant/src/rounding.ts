/** To the nearest whole number, a tie to the even one. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const over = value - below;
  if (over === 0.5) return below % 2 === 0 ? below : below + 1;
  return over < 0.5 ? below : below + 1;
}

/** To the nearest whole number, a tie away from zero. */
export function roundHalfAway(value: number): number {
  const size = Math.abs(value);
  const below = Math.floor(size);
  const rounded = size - below >= 0.5 ? below + 1 : below;
  return value < 0 ? -rounded : rounded;
}
