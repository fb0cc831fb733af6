let version = 0;

/**
 * Tells compiled steps that what they have traced may do something else now: a layer was replaced, frozen or switched
 * between training and evaluation. They trace again at their next call, and plan again only if the step has changed.
 */
export function structureChanged(): void {
  version++;
}

/** Rises with every `structureChanged`. */
export const structureVersion = (): number => version;
