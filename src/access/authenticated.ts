import type { Lapsed, Principal } from "../core/principal.ts";

/** A caller that is known. */
export interface Authenticated {
  readonly principal: Principal;
  /** For streams, which may outlive the credential that opened them. */
  readonly lapsed: Lapsed;
}
