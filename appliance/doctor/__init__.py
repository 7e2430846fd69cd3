"""What can be wrong on a box, looked at one thing at a time: a line each, with its remedy."""

from mammosono.appliance.doctor.check_result import Line, State
from mammosono.appliance.doctor.examine import examine
from mammosono.appliance.doctor.host import Machine
from mammosono.appliance.doctor.show import lines_json, print_lines, worst

__all__ = ["Line", "Machine", "State", "examine", "lines_json", "print_lines", "worst"]
