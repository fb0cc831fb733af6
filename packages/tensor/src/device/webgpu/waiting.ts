import type { DeviceLostError } from "../../errors.ts";

/** What waits for the GPU. When the device is lost, all of it is rejected at once. */
export class Waiting {
  readonly #settle: <T>(promise: Promise<T>) => Promise<T>;
  readonly #rejects = new Set<(error: Error) => void>();
  #loss: DeviceLostError | undefined;

  /** @param settle - how to wait for a promise of the device */
  constructor(settle: <T>(promise: Promise<T>) => Promise<T>) {
    this.#settle = settle;
  }

  /** Why the device was lost; undefined while it works. */
  get loss(): DeviceLostError | undefined {
    return this.#loss;
  }

  /** Waits for a promise of the device, or until it is lost. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#loss !== undefined) {
        promise.catch(() => {});
        reject(this.#loss);
        return;
      }
      this.#rejects.add(reject);
      this.#settle(promise)
        .then(resolve, reject)
        .finally(() => this.#rejects.delete(reject));
    });
  }

  /** Rejects all that waits and will wait. Only the first loss counts. */
  lose(loss: DeviceLostError): void {
    if (this.#loss !== undefined) return;
    this.#loss = loss;
    for (const reject of this.#rejects) reject(loss);
    this.#rejects.clear();
  }
}
