/** Places between two steps of an operation where a test can stop or kill the process: before and after each durable write, and around the send. */
export type Failpoint =
  | "before W1"
  | "after W1"
  | "before W2"
  | "after W2"
  | "before send"
  | "after send"
  | "before W3"
  | "after W3"
  | "before W4"
  | "after W4";

/** Told that a failpoint was reached. What it returns is waited for; what it throws is thrown there. */
export type FailpointHook = (point: Failpoint) => Promise<void> | void;
