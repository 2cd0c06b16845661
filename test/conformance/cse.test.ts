import { cseSubject } from "./subjects/cse.ts";
import { conformance } from "./suite.ts";

conformance(cseSubject);
