/** Doubles from here on are whole numbers, so that adding it rounds as the processor does: a tie to the even one. */
const WHOLE = 1.5 * 2 ** 52;

/** To the nearest whole number, a tie to the even one; of values below 2^51. */
export function roundHalfEven(value: number): number {
  return value + WHOLE - WHOLE;
}

/** To the nearest whole number, a tie away from zero. */
export function roundHalfAway(value: number): number {
  const size = Math.abs(value);
  const below = Math.floor(size);
  const rounded = size - below >= 0.5 ? below + 1 : below;
  return value < 0 ? -rounded : rounded;
}
