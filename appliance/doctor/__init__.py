"""What can be wrong on a box, looked at one thing at a time: a line each, with its remedy."""

from appliance.doctor.examine import examine
from appliance.doctor.line import Line, State
from appliance.doctor.machine import Machine
from appliance.doctor.show import lines_json, print_lines, worst

__all__ = ["Line", "Machine", "State", "examine", "lines_json", "print_lines", "worst"]
