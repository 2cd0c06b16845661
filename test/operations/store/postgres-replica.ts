/** A replica for a test to kill: `postgres-replica.ts URL`. Prints the name of every operation that it is woken for, and never ends one. */
import { randomUUID } from "node:crypto";
import { openPostgresStore } from "../../../src/operations/store/postgres/open.ts";

const [url = ""] = process.argv.slice(2);
const warn = (message: string) => process.stderr.write(`${message}\n`);
const store = await openPostgresStore({ url: () => url, replica: randomUUID(), now: () => new Date(), warn });
await store.wake((name) => {
  process.stdout.write(`${name}\n`);
  return new Promise(() => undefined);
});
process.stdout.write("ready\n");
