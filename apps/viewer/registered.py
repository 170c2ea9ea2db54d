"""Components of the page whose files are part of this package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["registered"]

_PROJECT = "medembed"


def registered(name: str, folder: Path, script: str) -> Callable[..., Any]:
    """Register a component with the running server, and give the function that mounts it.

    Streamlit finds the manifests of installed distributions by the distribution's name, so that a
    package inside another distribution is never found. It is registered here instead, when it is
    first mounted: there is no server to register it with before.

    Parameters
    ----------
    name : str
    folder : Path
        Its files, which the server gives to browsers.
    script : str
        The one that mounts it; may be a pattern.
    """
    import streamlit as st
    from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
    from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest

    manager = get_bidi_component_manager()
    whole = f"{_PROJECT}.{name}"
    if manager.get_component_asset_root(whole) is None:
        parts = [ComponentConfig(name=name, asset_dir=folder.name)]
        manifest = ComponentManifest(name=_PROJECT, version="0", components=parts)
        manager.register_from_manifest(manifest, folder.parent)
    mount: Callable[..., Any] = st.components.v2.component(whole, js=script)
    return mount
