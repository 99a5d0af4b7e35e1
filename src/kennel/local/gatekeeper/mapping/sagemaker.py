"""SageMaker: jobs, models, endpoints, their tags, invocations. Names are in small letters in its ARNs, as on AWS."""

from __future__ import annotations

from kennel.local.gatekeeper.mapping.table import EVERY, Keys, Rule, Table, each, passes

SERVICE = "sagemaker.amazonaws.com"
JOB = "training-job/{TrainingJobName}"
TUNING = "hyper-parameter-tuning-job/{HyperParameterTuningJobName}"
MODEL = "model/{ModelName}"
CONFIG = "endpoint-config/{EndpointConfigName}"
ENDPOINT = "endpoint/{EndpointName}"

_IN_JOB = {
    "sagemaker:instancetypes": "ResourceConfig.InstanceType ResourceConfig.InstanceGroups[].InstanceType",
    "sagemaker:volumekmskey": "ResourceConfig.VolumeKmsKeyId",
    "sagemaker:outputkmskey": "OutputDataConfig.KmsKeyId",
    "sagemaker:networkisolation": "EnableNetworkIsolation",
    "sagemaker:intercontainertrafficencryption": "EnableInterContainerTrafficEncryption",
    "sagemaker:maxruntimeinseconds": "StoppingCondition.MaxRuntimeInSeconds",
    "sagemaker:vpcsubnets": "VpcConfig.Subnets[]",
    "sagemaker:vpcsecuritygroupids": "VpcConfig.SecurityGroupIds[]",
    "sagemaker:filesystemid": "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemId",
    "sagemaker:filesystemtype": "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemType",
    "sagemaker:filesystemaccessmode": "InputDataConfig[].DataSource.FileSystemDataSource.FileSystemAccessMode",
    "sagemaker:filesystemdirectorypath": "InputDataConfig[].DataSource.FileSystemDataSource.DirectoryPath",
}
_DEFINITIONS = ("TrainingJobDefinition", "TrainingJobDefinitions[]")
_TRAINING = _IN_JOB | {
    "sagemaker:keepaliveperiod": "ResourceConfig.KeepAlivePeriodInSeconds",
    "sagemaker:enableremotedebug": "RemoteDebugConfig.EnableRemoteDebug",
}
_VARIANTS = {
    "sagemaker:instancetypes": "ProductionVariants[].InstanceType ShadowProductionVariants[].InstanceType",
    "sagemaker:acceleratortypes": "ProductionVariants[].AcceleratorType",
    "sagemaker:modelarn": "=model/{ProductionVariants[].ModelName}",
    "sagemaker:serverlessmaxconcurrency": "ProductionVariants[].ServerlessConfig.MaxConcurrency",
    "sagemaker:serverlessmemorysize": "ProductionVariants[].ServerlessConfig.MemorySizeInMB",
    "sagemaker:volumekmskey": "KmsKeyId",
    "sagemaker:networkisolation": "EnableNetworkIsolation",
    "sagemaker:vpcsubnets": "VpcConfig.Subnets[]",
    "sagemaker:vpcsecuritygroupids": "VpcConfig.SecurityGroupIds[]",
}
_NETWORK = {
    "sagemaker:networkisolation": "EnableNetworkIsolation",
    "sagemaker:vpcsubnets": "VpcConfig.Subnets[]",
    "sagemaker:vpcsecuritygroupids": "VpcConfig.SecurityGroupIds[]",
}


def _made(operation: str, resource: str, keys: Keys) -> tuple[Rule, Rule]:
    """What makes a tagged resource needs to be allowed to tag it too."""
    tagging = {"sagemaker:taggingaction": operation}
    own = Rule(resource, keys=keys, tags="Tags")
    return own, Rule(resource, "sagemaker:AddTags", fixed=tagging, tags="Tags", when="Tags")


def _below(definitions: tuple[str, ...], keys: Keys) -> dict[str, str]:
    return {
        key: " ".join(f"{definition}.{path}" for definition in definitions for path in paths.split())
        for key, paths in keys.items()
    }


TABLE: Table = {
    "CreateTrainingJob": (
        *_made("CreateTrainingJob", JOB, _TRAINING),
        Rule("{ResourceConfig.TrainingPlanArn}", when="ResourceConfig.TrainingPlanArn"),
        passes("RoleArn", SERVICE),
    ),
    "CreateHyperParameterTuningJob": (
        *_made("CreateHyperParameterTuningJob", TUNING, _below(_DEFINITIONS, _IN_JOB)),
        passes("TrainingJobDefinition.RoleArn", SERVICE),
        passes("TrainingJobDefinitions[].RoleArn", SERVICE),
    ),
    "CreateModel": (*_made("CreateModel", MODEL, _NETWORK), passes("ExecutionRoleArn", SERVICE)),
    "CreateEndpointConfig": (
        *_made("CreateEndpointConfig", CONFIG, _VARIANTS),
        passes("ExecutionRoleArn", SERVICE),
    ),
    "CreateEndpoint": (*_made("CreateEndpoint", ENDPOINT, {}), Rule(CONFIG, tags="Tags")),
    "UpdateEndpoint": (Rule(ENDPOINT), Rule(CONFIG)),
    "UpdateTrainingJob": (
        Rule(
            JOB,
            keys={
                "sagemaker:keepaliveperiod": "ResourceConfig.KeepAlivePeriodInSeconds",
                "sagemaker:enableremotedebug": "RemoteDebugConfig.EnableRemoteDebug",
            },
        ),
    ),
    "AddTags": (Rule("{ResourceArn}", tags="Tags"),),
    "DeleteTags": (Rule("{ResourceArn}", untags="TagKeys[]"),),
    "ListTags": (Rule("{ResourceArn}"),),
    "InvokeEndpoint": (
        Rule(ENDPOINT, keys={"sagemaker:targetmodel": "TargetModel"}),
        Rule("inference-component/{InferenceComponentName}", when="InferenceComponentName"),
    ),
    **each("DescribeTrainingJob StopTrainingJob DeleteTrainingJob", Rule(JOB)),
    **each(
        "DescribeHyperParameterTuningJob StopHyperParameterTuningJob DeleteHyperParameterTuningJob "
        "ListTrainingJobsForHyperParameterTuningJob",
        Rule(TUNING),
    ),
    **each("DescribeModel DeleteModel", Rule(MODEL)),
    **each("DescribeEndpointConfig DeleteEndpointConfig", Rule(CONFIG)),
    **each("DescribeEndpoint DeleteEndpoint UpdateEndpointWeightsAndCapacities", Rule(ENDPOINT)),
    **each(
        "ListTrainingJobs ListHyperParameterTuningJobs ListModels ListEndpointConfigs ListEndpoints",
        Rule(EVERY),
    ),
}
