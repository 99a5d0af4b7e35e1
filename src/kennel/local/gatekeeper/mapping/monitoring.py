"""CloudWatch: metrics know no resource, alarms and dashboards do."""

from __future__ import annotations

from kennel.local.gatekeeper.mapping.table import EVERY, Rule, Table, each

DASHBOARD = "arn:{.partition}:cloudwatch::{.account}:dashboard/"

TABLE: Table = {
    "PutMetricAlarm": (
        Rule("alarm:{AlarmName}", keys={"cloudwatch:alarmactions": "AlarmActions[]"}, tags="Tags"),
        Rule("alarm:{AlarmName}", "cloudwatch:TagResource", tags="Tags", when="Tags"),
    ),
    "DescribeAlarms": (Rule("alarm:{AlarmNames[]} | alarm:*"),),
    "DescribeAlarmHistory": (Rule("alarm:{AlarmName} | alarm:*"),),
    "SetAlarmState": (Rule("alarm:{AlarmName}"),),
    "PutMetricData": (Rule(EVERY, keys={"cloudwatch:namespace": "Namespace"}),),
    "PutDashboard": (Rule(f"{DASHBOARD}{{DashboardName}}"),),
    "GetDashboard": (Rule(f"{DASHBOARD}{{DashboardName}}"),),
    "DeleteDashboards": (Rule(f"{DASHBOARD}{{DashboardNames[]}}"),),
    "PutInsightRule": (Rule("insight-rule/{RuleName}", tags="Tags"),),
    "TagResource": (Rule("{ResourceARN}", tags="Tags"),),
    "UntagResource": (Rule("{ResourceARN}", untags="TagKeys[]"),),
    "ListTagsForResource": (Rule("{ResourceARN}"),),
    **each("DeleteAlarms DisableAlarmActions EnableAlarmActions", Rule("alarm:{AlarmNames[]}")),
    **each("DeleteInsightRules DisableInsightRules EnableInsightRules", Rule("insight-rule/{RuleNames[]}")),
    **each(
        "DescribeAlarmsForMetric DescribeInsightRules GetMetricData GetMetricStatistics ListDashboards ListMetrics",
        Rule(EVERY),
    ),
}
