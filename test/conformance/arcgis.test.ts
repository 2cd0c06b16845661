import { arcgisSubject } from "./subjects/arcgis.ts";
import { conformance } from "./suite.ts";

conformance(arcgisSubject);
