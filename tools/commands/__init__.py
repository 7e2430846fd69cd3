"""The commands of mammosono-tools, by kind of work; heavy imports wait for the call."""
