"""The commands of ``python -m docking`` beside Lightning's, one file each."""
