"""Speed on this machine, beside what people use today."""
