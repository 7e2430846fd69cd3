"""Diagnosis of an installation: one check result for each thing, with its remedy."""

from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.doctor.examine import examine
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.doctor.show import lines_json, print_lines, worst

__all__ = ["CheckResult", "Host", "State", "examine", "lines_json", "print_lines", "worst"]
