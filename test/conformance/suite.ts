import { describe } from "vitest";
import type { Subject, World } from "./subject.ts";
import { controls } from "./suite/controls.ts";
import { faults, refusals } from "./suite/faults.ts";
import { guards } from "./suite/guards.ts";
import { requestIds } from "./suite/request-id.ts";
import { time } from "./suite/time.ts";
import { restarts, tracking } from "./suite/tracking.ts";

/** What every target must do, whatever its vendor is like: one suite for all of them, over the wire, on a real store. */
export function conformance<Play extends World>(subject: Subject<Play>): void {
  describe(`${subject.target.name}: ${subject.method.name} conforms`, { concurrent: true }, () => {
    faults(subject);
    refusals(subject);
    guards(subject);
    requestIds(subject);
    time(subject);
    tracking(subject);
    restarts(subject);
    controls(subject);
  });
}
