import { arcgis } from "./arcgis/index.ts";
import { cse } from "./cse/index.ts";
import { dcs } from "./dcs/index.ts";
import { ddm } from "./ddm/index.ts";
import { kubernetes } from "./kubernetes/index.ts";
import type { ConsoleTarget } from "./target.ts";

/** THE list: what every target has in the console. names.ts lists how their names are read. */
export const TARGETS: readonly ConsoleTarget[] = [kubernetes, arcgis, cse, dcs, ddm];
