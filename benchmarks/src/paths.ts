/** The folder of the benchmarks, and that of the repository. */
export const benchmarksFolder = new URL("../", import.meta.url);
export const repository = new URL("../../", import.meta.url);
