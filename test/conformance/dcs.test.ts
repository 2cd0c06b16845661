import { dcsFlush, dcsRestart } from "./subjects/dcs.ts";
import { conformance } from "./suite.ts";

conformance(dcsRestart);
conformance(dcsFlush);
