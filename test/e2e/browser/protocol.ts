/** What the page is told. */
export interface PageConfig {
  /** Where restartd is. */
  readonly baseUrl: string;
  /** `use`: as an application does. `attack`: as a page does that nobody allowed. */
  readonly task: "use" | "attack";
}

/** What came of all calls over one transport. */
export interface TransportResult {
  /** Headers of a restart's answer, those that the page got to see. */
  readonly headers: Readonly<Record<string, string | null>>;
  readonly states: readonly string[];
  /** The last message of the stream. */
  readonly last: string;
  readonly desired: number;
  readonly paused: {
    readonly code: string | undefined;
    readonly message: string;
    readonly info: readonly object[];
    readonly violations: readonly object[];
  };
  readonly invalid: { readonly code: string | undefined; readonly fields: readonly string[] };
  readonly stream: { readonly code: string | undefined; readonly reasons: readonly string[] };
}

/** What the page tells. */
export interface PageResult {
  /** By the name of the transport. */
  readonly tried?: Readonly<Record<string, TransportResult>>;
  /** What an attacker saw, by the name of the attempt. */
  readonly seen?: Readonly<Record<string, string>>;
  /** The page itself failed. */
  readonly failed?: string;
}
