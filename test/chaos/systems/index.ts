import type { StartSystem } from "../system.ts";
import { startArcgis } from "./arcgis.ts";
import { startCse } from "./cse.ts";
import { startDcs } from "./dcs.ts";
import { startDdm } from "./ddm.ts";
import { startKubernetes } from "./kubernetes.ts";

/** All systems of a run. */
export const SYSTEMS: readonly StartSystem[] = [startKubernetes, startArcgis, startCse, startDcs, startDdm];
