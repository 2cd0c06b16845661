"""Huawei's own SDKs against our simulators: every call that src/targets/{cse,dcs,ddm} make, and some that have to be refused.

Reads from stdin what to call, as JSON, and prints what came of each call, as JSON.
"""

import json
import sys
import time

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcse.v1 import (
    CseClient,
    EngineAdditionalActionReq,
    ListEnginesRequest,
    RetryEngineRequest,
    ShowEngineJobRequest,
    ShowEngineRequest,
)
from huaweicloudsdkdcs.v2 import (
    ChangeInstanceStatusBody,
    DcsClient,
    ListConfigurationsRequest,
    RestartOrFlushInstancesRequest,
    ShowInstanceRequest,
)
from huaweicloudsdkdcs.v2 import ListInstancesRequest as ListDcsInstancesRequest
from huaweicloudsdkddm.v1 import (
    DdmClient,
    RestarInstanceInfo,
    RestartDdmInstanceRequest,
    RestartInstanceReq,
    RestartInstanceRequest,
    ShowDdmJobResultRequest,
)
from huaweicloudsdkddm.v1 import ListInstancesRequest as ListDdmInstancesRequest
from huaweicloudsdkddm.v1 import ShowInstanceRequest as ShowDdmInstanceRequest


def open_client(kind, asked, service, secret_key=None):
    credentials = BasicCredentials(asked["accessKey"], secret_key or asked["secretKey"], asked["projectId"])
    config = HttpConfig.get_default_config()
    config.timeout = (5, 10)
    return (
        kind.new_builder()
        .with_http_config(config)
        .with_credentials(credentials)
        .with_endpoints([asked["endpoints"][service]])
        .build()
    )


def told(call, request):
    """What the SDK makes of an answer: it has to understand each, and every error has to have a code and a request id."""
    try:
        answer = call(request)
        return {"answer": json.loads(str(answer))}
    except ServiceResponseException as error:
        return {
            "error": {
                "status": error.status_code,
                "code": error.error_code,
                "message": error.error_msg,
                "requestId": error.request_id,
            }
        }


def engine(request, asked):
    request.engine_id = asked["engine"]
    return request


def until_running(ddm, instance):
    """A restart takes a few seconds in the sandbox, and nothing but asking tells of its end."""
    for _ in range(100):
        if ddm.show_instance(ShowDdmInstanceRequest(instance_id=instance)).status == "RUNNING":
            return
        time.sleep(0.2)


def main():
    asked = json.load(sys.stdin)
    dcs = open_client(DcsClient, asked, "dcs")
    ddm = open_client(DdmClient, asked, "ddm")
    cse = open_client(CseClient, asked, "cse")
    stranger = open_client(DcsClient, asked, "dcs", secret_key="not-the-key")
    out = {}

    instance = asked["dcsInstance"]
    out["dcs list"] = told(dcs.list_instances, ListDcsInstancesRequest(offset=0, limit=1))
    out["dcs show"] = told(dcs.show_instance, ShowInstanceRequest(instance_id=instance))
    out["dcs show nobody"] = told(dcs.show_instance, ShowInstanceRequest(instance_id=asked["nobody"]))
    out["dcs configs"] = told(dcs.list_configurations, ListConfigurationsRequest(instance_id=instance))
    for action in ("soft_restart", "restart", "stop"):
        body = ChangeInstanceStatusBody(instances=[instance], action=action)
        out["dcs " + action] = told(dcs.restart_or_flush_instances, RestartOrFlushInstancesRequest(body=body))
    body = ChangeInstanceStatusBody(instances=[], action="flush")
    out["dcs flush nothing"] = told(dcs.restart_or_flush_instances, RestartOrFlushInstancesRequest(body=body))
    out["dcs restarting"] = told(dcs.show_instance, ShowInstanceRequest(instance_id=instance))
    out["dcs wrong key"] = told(stranger.show_instance, ShowInstanceRequest(instance_id=instance))

    instance = asked["ddmInstance"]
    out["ddm list"] = told(ddm.list_instances, ListDdmInstancesRequest(offset=0, limit=1))
    out["ddm show"] = told(ddm.show_instance, ShowDdmInstanceRequest(instance_id=instance))
    out["ddm show nobody"] = told(ddm.show_instance, ShowDdmInstanceRequest(instance_id=asked["nobody"]))
    restart = RestartInstanceReq(restart=RestarInstanceInfo(type="soft"))
    out["ddm soft"] = told(ddm.restart_instance, RestartInstanceRequest(instance_id=instance, body=restart))
    job = out["ddm soft"].get("answer", {}).get("jobId", "")
    out["ddm job"] = told(ddm.show_ddm_job_result, ShowDdmJobResultRequest(job_id=job))
    restart = RestartInstanceReq(restart=RestarInstanceInfo(type="hard"))
    out["ddm v3 while busy"] = told(ddm.restart_ddm_instance, RestartDdmInstanceRequest(instance_id=instance))
    out["ddm hard while busy"] = told(ddm.restart_instance, RestartInstanceRequest(instance_id=instance, body=restart))

    out["cse list"] = told(cse.list_engines, ListEnginesRequest(offset=0, limit=10))
    out["cse show"] = told(cse.show_engine, engine(ShowEngineRequest(), asked))
    latest = str(out["cse show"].get("answer", {}).get("latestJobId", ""))
    out["cse failed job"] = told(cse.show_engine_job, engine(ShowEngineJobRequest(job_id=latest), asked))
    retry = engine(RetryEngineRequest(body=EngineAdditionalActionReq(action="Retry")), asked)
    out["cse retry"] = told(cse.retry_engine, retry)
    again = str(out["cse retry"].get("answer", {}).get("jobId", ""))
    out["cse running job"] = told(cse.show_engine_job, engine(ShowEngineJobRequest(job_id=again), asked))
    unknown = RetryEngineRequest(engine_id=asked["nobody"], body=EngineAdditionalActionReq(action="Retry"))
    out["cse retry nobody"] = told(cse.retry_engine, unknown)

    until_running(ddm, asked["ddmInstance"])
    out["ddm v3"] = told(ddm.restart_ddm_instance, RestartDdmInstanceRequest(instance_id=asked["ddmInstance"]))
    job = out["ddm v3"].get("answer", {}).get("job_id", "")
    out["ddm v3 job"] = told(ddm.show_ddm_job_result, ShowDdmJobResultRequest(job_id=job))

    json.dump(out, sys.stdout)


main()
