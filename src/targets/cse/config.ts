/** CSE's projects stand in the section `huaweicloud`, which it shares with DCS and DDM. */
export { type HuaweicloudSettings, readHuaweicloud } from "../../clouds/huawei/config.ts";
