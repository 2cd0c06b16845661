/**
 * The server, as src/main.ts starts it; but what is kept compiled is looked for before the first file with types, so that what strips
 * types is not loaded at all, which takes 12 MB and some time.
 */
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/restartd", import.meta.url)));
await import("../src/main.ts");
