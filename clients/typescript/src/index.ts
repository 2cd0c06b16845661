/*
 * @restartd/client: restartd's services and messages, and helpers for what every caller needs.
 */

export { errorOf, type RestartError } from "./error.js";
export * from "./messages.js";
export { newRequestId, type WaitOptions, waitForOperation, watchUntilDone } from "./operation.js";
