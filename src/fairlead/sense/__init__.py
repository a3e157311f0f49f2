"""What every process does, judged: rules -> a plan for the kernel plus a residue; raw events + rules -> findings.

Pure: it knows neither the kernel's files nor the clock. What the kernel can decide is told to it in a `Plan`; what it cannot is
decided by a rule's residue, a plain function of an Event. Must never drop an event that a rule could want.
"""
