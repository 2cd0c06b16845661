/**
 * Makes THIRD_PARTY_NOTICES.md: `npm run generate` runs it. It is the same until something of others that is shipped is another.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleServer } from "./bundle.ts";
import { componentsOf, notices } from "./components.ts";

if (process.platform !== "linux") {
  process.stderr.write("THIRD_PARTY_NOTICES.md: left as it is, since the image's Node is installed on Linux alone\n");
  process.exit();
}
const folder = mkdtempSync(join(tmpdir(), "restartd-notices-"));
try {
  const { metafile } = await bundleServer(folder);
  const components = componentsOf(metafile);
  writeFileSync(join(import.meta.dirname, "../THIRD_PARTY_NOTICES.md"), notices(components));
  process.stderr.write(`THIRD_PARTY_NOTICES.md: ${components.length} packages\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
