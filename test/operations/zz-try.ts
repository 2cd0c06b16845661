import { startPostgres } from "../support/postgres.ts";
import { openPostgresStore } from "../../src/operations/postgres/open.ts";
import { record } from "./records.ts";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
await using p = await startPostgres();
const url = await p.database();
const store = await openPostgresStore({url, replica: "a", now: () => new Date(), warn: (m) => console.log("WARN", m)});
const one = record();
await store.insert([one], {event: "accepted"});
const v = spawn(process.execPath, [import.meta.dirname + "/postgres-replica.ts", url], {stdio: ["ignore","pipe","inherit"]});
let n = 0;
await new Promise<void>(r => v.stdout.on("data", async d => { console.log(String(d)); if (n++ === 0) await store.change(one, {wakeTime: Date.now()}, undefined); else r(); }));
v.kill("SIGKILL");
const t = performance.now();
await p.sql("update operations set wake_time=null", url);
await store.wake(async (x) => console.log("WOKEN", x, performance.now()-t));
for (let i=0;i<9;i++) { await new Promise(r=>setTimeout(r,5000)); console.log(Math.round(performance.now()-t), JSON.stringify(await p.sql("select state,retry_count,heartbeat_on,heartbeat_seconds,started_on,start_after,expire_seconds,now() from restartd_boss.job where singleton_key is not null", url)), JSON.stringify(await p.sql("select name,monitor_on,maintain_on,monitor_claimed from restartd_boss.queue", url).catch(e=>e.message))); }
await store[Symbol.asyncDispose]();
