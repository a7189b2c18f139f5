"""Equivariant scalar fields for protein-ligand docking; its models arrive in a later release."""
