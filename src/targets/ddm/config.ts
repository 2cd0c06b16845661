/** DDM's projects stand in the section `huaweicloud`, which it shares with CSE and DCS. */
export { type HuaweicloudSettings, readHuaweicloud } from "../../clouds/huawei/config.ts";
