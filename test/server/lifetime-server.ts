/** A server that says where it listens, drains when its stdin ends, and then has nothing left to do. */
import { serve } from "./fixture.ts";

const HOURS = 3_600_000;
const { server } = await serve({}, { bodyTimeoutMs: HOURS, deadline: { defaultMs: HOURS, maxMs: HOURS } });
process.stdout.write(`${server.url}\n`);
process.stdin.once("end", () => void server.close()).resume();
