"""Target tracking as Application Auto Scaling does it, as pure decisions: data and times in, a count out. No cloud.

The simulator and the local AWS's loop are two callers of the same `step`. What is AWS's own word, and what is our model
of what AWS does not tell, stands in `tracking`.
"""

from kennel.scaling.alarms import Alarm, Rule, State
from kennel.scaling.tracking import Decision, Policy, Scaler, Target, settled, started, step

__all__ = ["Alarm", "Decision", "Policy", "Rule", "Scaler", "State", "Target", "settled", "started", "step"]
