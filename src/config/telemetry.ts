import type { Telemetry } from "../../gen/restart/config/v1/telemetry_pb.ts";
import { type GiveSecret, readSecret } from "../core/secret.ts";
import type { SectionReader } from "../core/section-reader.ts";

/** Where traces go, and what they hold. */
export interface TraceSettings {
  /** Where batches are posted to. */
  readonly url: string;
  /** Headers of each batch. */
  readonly headers: Readonly<Record<string, GiveSecret>>;
  /** How many of the traces that begin here are kept, from 0 to 1. */
  readonly sampleRatio: number;
  /** Systems that are told of our spans. */
  readonly propagate: ReadonlySet<string>;
  /** Whether spans name targets. */
  readonly targets: boolean;
  /** Attributes of the process. */
  readonly resource: Readonly<Record<string, string>>;
}

/** Reads the section `telemetry`; undefined where no traces are wanted. */
export function readTelemetry(section: Telemetry | undefined, reader: SectionReader): TraceSettings | undefined {
  const { traces, resource = {} } = section ?? {};
  const { otlp } = traces ?? {};
  if (traces === undefined || otlp === undefined) return undefined; // the schema wants it, and has reported this
  const headers: Record<string, GiveSecret> = {};
  for (const [name, secret] of Object.entries(otlp.headers)) {
    const give = readSecret(secret, ["telemetry", "traces", "otlp", "headers", name], reader);
    if (give !== undefined) headers[name.toLowerCase()] = give;
  }
  return {
    url: `${otlp.endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers,
    sampleRatio: traces.sampleRatio,
    propagate: new Set(traces.propagate),
    targets: traces.targets,
    resource,
  };
}
