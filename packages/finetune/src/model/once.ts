/** The same function, whose first result is kept for later calls; a failure is tried again. */
export function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    if (result === undefined) {
      result = read();
      result.catch(() => {
        result = undefined;
      });
    }
    return result;
  };
}
