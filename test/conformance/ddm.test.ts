import { ddmSubject } from "./subjects/ddm.ts";
import { conformance } from "./suite.ts";

conformance(ddmSubject);
