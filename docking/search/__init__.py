"""Search over poses: rigid motions and torsions of a ligand in the maps of a pocket."""
