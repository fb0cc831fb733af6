// Runs in a page: fails in the way that its argument names.
export default async function fail(how: "throw" | "eval" | "dead" | "hang"): Promise<void> {
  if (how === "throw") throw new RangeError("thrown in the page");
  if (how === "dead") throw new Error("A valid external Instance reference no longer exists.");
  if (how === "eval") Reflect.construct(Function, ["return 1"]);
  await new Promise(() => undefined);
}
