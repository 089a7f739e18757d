"""A package, so that it stands above the one that torch-fidelity installs by the same name."""
