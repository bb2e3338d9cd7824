"""What is under test: loads a target directory, renders its configuration, starts, steers and stops the balancer."""

from limpet.harness.targets.draft import draft
from limpet.harness.targets.load import LoadedTarget, load, names
from limpet.harness.targets.model import Target
from limpet.harness.targets.running import Member, RunningTarget

__all__ = ["LoadedTarget", "Member", "RunningTarget", "Target", "draft", "load", "names"]
