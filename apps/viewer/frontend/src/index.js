// The component, as Streamlit mounts it: the default export is called at every run of the script
// that changes something, so the viewer is kept by its root.
import css from "./viewer.css?inline";
import { Viewer } from "./viewer.js";

const viewers = new WeakMap();

export default function mount({ data, parentElement, setTriggerValue }) {
  let viewer = viewers.get(parentElement);
  if (viewer === undefined) {
    viewer = new Viewer(parentElement, css);
    viewers.set(parentElement, viewer);
  }
  viewer
    .update(data, (by) => setTriggerValue("step", by))
    .then(() => {
      document.documentElement.dataset.viewer = "ready"; // the page hides its still pictures
    })
    .catch((error) => {
      document.documentElement.dataset.viewer = "failed";
      throw error;
    });
  return () => {
    // a rerun mounts it again at once; only a root that has left the page is closed
    setTimeout(() => {
      const { host } = parentElement;
      if ((host ?? parentElement).isConnected || viewers.get(parentElement) !== viewer) return;
      viewers.delete(parentElement);
      viewer.close();
    }, 200);
  };
}
