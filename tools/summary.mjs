// The closing line of CI: the sum over the vitest results named on the command line.
import { existsSync, readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
let skipped = 0;
for (const path of process.argv.slice(2)) {
  if (!existsSync(path)) {
    console.log(`${path} is missing: that run ended before its tests`);
    failed += 1;
    continue;
  }
  const result = JSON.parse(readFileSync(path, "utf8"));
  passed += result.numPassedTests;
  // A file that fails to load has no tests to count.
  const broken = result.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  );
  failed += result.numFailedTests + broken.length;
  skipped += result.numPendingTests + result.numTodoTests;
}
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
