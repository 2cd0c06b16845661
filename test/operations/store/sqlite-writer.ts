/** A process that writes to a SQLite store until it is killed, and prints the name of each operation once it is durable. */
import { randomUUID } from "node:crypto";
import { openSqliteThread } from "../../../src/operations/store/sqlite/thread.ts";
import { record } from "../records.ts";

const store = await openSqliteThread({
  path: process.argv[2] ?? "",
  replica: randomUUID(),
  now: () => new Date(),
  warn: () => {},
});
for (;;) {
  const before = record();
  await store.insert([before], { event: "accepted" });
  const after = await store.change(before, { state: "SENDING" }, { event: "permit" });
  process.stdout.write(`${after?.name}\n`);
}
