import type { Intent } from "../../api/intention.ts";
import { W, WHAT } from "../../words.ts";
import { engines } from "./client.ts";

/** An engine whose failed job is to run again. */
export interface EngineRef {
  readonly projectId: string;
  readonly engineId: string;
  /** What people call it; its id while that is not known. */
  readonly name: string;
  /** Its latest job, as it is told: `123 (Upgrade)`. */
  readonly job?: string;
}

/** The retry of an engine's failed job. */
export const retryIntent = ({ projectId, engineId, name, job = "" }: EngineRef): Intent => ({
  verb: "Retry",
  doing: "Retrying…",
  subject: name,
  title: `Retry engine ${name}`,
  what: WHAT.cse(job),
  scope: [],
  checked: W.check.other,
  acknowledgement: { kind: "deletion", always: false, word: name, label: W.typeToGoOn(name) },
  async send({ acknowledged, ...ask }, options) {
    await engines.retryEngine({ projectId, engineId, acknowledgeDeletion: acknowledged, ...ask }, options);
    return {};
  },
});
