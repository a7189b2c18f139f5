"""Domain languages, one file each: functions that return a ``Language``."""
